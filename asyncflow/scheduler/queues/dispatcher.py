"""The dispatcher: claims pages of due tasks, and hands them to a queue as far as there are credits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.status import Status
from asyncflow.scheduler.loops.pause import LONG_SECONDS, AdaptivePause
from asyncflow.scheduler.queues.credits import Credits
from asyncflow.scheduler.queues.letters import letter_of, seconds_left_of
from asyncflow.scheduler.queues.notes import held_by
from asyncflow.scheduler.queues.queued_claims import QueuedClaims
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.task_queue import Parcel, Sending
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.verdict import Verdict

NOT_SENT = Verdict(Status.PENDING, 0.0, "given back: the queue could not be reached", is_spent=False)
_PART_OF_LEASE = 0.5  # that a letter has left at the least when it is sent: its worker needs some of it
_DOUBT_SECONDS = (0.1, 2.0)  # between two looks at what is out: the shorter, as long as others settle some of it
_BREATH_SECONDS = 0.005  # between two claims, so that one statement claims several


class Dispatcher:
    """Step by step send, look what is still out, and claim; lives as long as its scheduler, one thread steps it.

    While the broker is away nothing is claimed, and what was claimed is sent when it is back, or given back in time.
    ``types`` are those of the queue, as they are in force.
    """

    def __init__(
        self,
        types: Mapping[str, HandlerType],
        source: QueuedClaims,
        sending: Sending,
        credits_: Credits,
        settings: SchedulerSettings,
    ) -> None:
        self._types = types
        self._source = source
        self._sending = sending
        self._credits = credits_
        self._lease_seconds = settings.claim_lease_seconds
        self._pause = AdaptivePause(settings.min_pause_seconds, settings.max_pause_seconds)
        self._unsent: list[Claim] = []
        self._refused: list[tuple[Claim, Verdict]] = []
        self._is_reached = False  # the broker took what was sent last
        self._claimed_at: dict[str, float] = {}
        self._doubt = AdaptivePause(*_DOUBT_SECONDS)
        self._look_at = 0.0
        self._counted: Mapping[int, int] = {}  # shards, with their epochs, of which is known what is out

    def step(self) -> float:
        """Do one round; return the seconds until the next look. Raises what the broker or the database raises."""
        self._give_back_what_is_late()
        self._send()
        self._look_at_what_is_out()
        self._count_what_others_sent()
        free, paced_seconds = self._free()
        if not free:
            return min(paced_seconds, max(_BREATH_SECONDS, self._look_at - time.monotonic()))  # a settle wakes it, too
        found = self._source.claim_due(free)
        if not found.claims:
            return min(self._pause.after_nothing(found.look_in_seconds), paced_seconds)
        self._pause.reset()
        self._credits.spend(found.claims)
        self._claimed_at |= dict.fromkeys((claim.task.task_type for claim in found.claims), time.monotonic())
        self._unsent = list(found.claims)
        self._send()
        return _BREATH_SECONDS

    def expect_work(self) -> None:
        """Look often again, for a commit was announced."""
        self._pause.reset()

    def close(self) -> None:
        """Give back what was not sent; what was sent is its workers', and others hear of its outcome."""
        try:
            self._settle([(claim, NOT_SENT) for claim in self._unsent])
            self._settle(self._refused)
        finally:
            self._source.close()
            self._sending.close()

    # -- sending -----------------------------------------------------------------------------------------

    def _send(self) -> None:
        if not self._is_reached:
            self._sending.require_living()
        if self._unsent:
            self._is_reached = False
            answers = self._sending.send([_parcel_of(claim) for claim in self._unsent])
            claims, self._unsent = self._unsent, []
            refused = ((claim, why) for claim, why in zip(claims, answers, strict=True) if why is not None)
            self._refused += ((claim, _refusal(why)) for claim, why in refused)
        self._is_reached = True
        self._settle(self._refused)
        self._refused = []

    def _give_back_what_is_late(self) -> None:
        least = self._lease_seconds * _PART_OF_LEASE
        late = [claim for claim in self._unsent if seconds_left_of(claim) < least]
        self._settle([(claim, NOT_SENT) for claim in late])
        self._unsent = [claim for claim in self._unsent if claim not in late]

    def _settle(self, judged: Sequence[tuple[Claim, Verdict]]) -> None:
        if judged:
            self._source.settle(judged)
            self._credits.give_back(held_by(claim for claim, _ in judged))

    # -- claiming ----------------------------------------------------------------------------------------

    def _free(self) -> tuple[dict[str, int], float]:
        """Return how many tasks of each type may be claimed, and the seconds until one may be that may not now."""
        now, free, paced = time.monotonic(), dict[str, int](), LONG_SECONDS
        for name, kind in self._types.items():
            wait = self._claimed_at.get(name, -LONG_SECONDS) + kind.interval_seconds - now
            if kind.enabled and kind.interval_seconds and wait > 0:
                paced = min(paced, wait)
            elif kind.enabled and (room := self._credits.room_of(name)) > 0:
                free[name] = room
        return free, paced

    def _look_at_what_is_out(self) -> None:
        """Get the credits back of what other schedulers have settled, or the monitor has given back."""
        now = time.monotonic()
        if now < self._look_at:
            return
        doubted = self._credits.in_doubt(_DOUBT_SECONDS[0])
        held = self._source.still_held(doubted)
        self._credits.seen(held)
        if self._credits.give_back(one for one in doubted if one not in held):
            self._doubt.reset()
        self._look_at = now + self._doubt.after_nothing(LONG_SECONDS)

    def _count_what_others_sent(self) -> None:
        """Spend credits for what is out of shards that have come here, from the instance before this one, too."""
        shards = dict(self._source.shards())
        if new := [shard for shard, epoch in shards.items() if self._counted.get(shard) != epoch]:
            self._credits.count(self._source.handed_over(new, self._credits.most * len(self._types)))
        self._counted = shards


def _parcel_of(claim: Claim) -> Parcel:
    return Parcel(claim.task.task_type, letter_of(claim), seconds_left_of(claim))


def _refusal(why: str) -> Verdict:
    return Verdict(Status.FAILED, error=f"the queue does not take it: {why}")
