"""Claims that come by a queue: a worker's other source."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NoReturn
from uuid import UUID

from sqlalchemy import Connection

from asyncflow.errors import OptionError, UnreachableError
from asyncflow.events import Hooks, StepFailed
from asyncflow.scheduler.loops.pause import LONG_SECONDS
from asyncflow.scheduler.queue_worker.way_back import WayBack, outcome_of_claim
from asyncflow.scheduler.queues.letters import read_letter
from asyncflow.scheduler.queues.notes import Reached
from asyncflow.scheduler.task_queue import Arrival, Taking
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_source import Found, Written
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.verdict import GIVEN_BACK, Verdict

LOOP = "queue"
_WAIT_SECONDS = 0.5  # for letters, where there is room for all types
_SHORT_WAIT_SECONDS = 0.1  # where there is not: those that are left out are to be asked for soon
_AWAY_SECONDS = 0.5  # before the broker is told again what it could not be


class QueueClaims:
    """Be the source of claims of one queue's worker. Letters come on a thread of their own, which steps ``fetch``.

    While the broker is away nothing is forgotten: verdicts wait until they are told. ``wake_worker`` and ``wake_taker``
    wake the worker's thread and the other one.
    """

    takes_second_writer = False  # letters come on a thread of their own, whatever is settled meanwhile

    def __init__(
        self,
        taking: Taking,
        way_back: WayBack,
        lease_seconds: float,
        hooks: Hooks,
        wakes: tuple[Callable[[], None], Callable[[], None]],
    ) -> None:
        self._taking = taking
        self._way_back = way_back
        self._lease_seconds = lease_seconds
        self._hooks = hooks
        self._wake_worker, self._wake_taker = wakes
        self._wanted: Mapping[str, int] = {}
        self._arrived: list[Claim] = []
        self._reached: dict[HeldClaim, Reached] = {}
        self._is_stopping = False
        self._away_until = 0.0
        self._known: Collection[str] = ()
        self._lock = threading.Lock()

    def ask_for(self, types: Collection[str]) -> None:
        """Know the types that have a handler here."""
        self._known = types

    # -- on the worker's thread --------------------------------------------------------------------------

    def claim_due(self, free: Mapping[str, int]) -> Found:
        """Return what has arrived, and see to it that more is asked for."""
        with self._lock:
            claims, self._arrived = self._arrived, []
            is_news = not self._wanted and not claims
            if is_news:
                self._wanted = dict(free)
        if is_news:
            self._wake_taker()
        return Found(claims, 0.0 if claims else LONG_SECONDS)

    def renew(self, claims: Collection[Claim]) -> set[UUID] | None:
        """Tell that the claims are at work; those that may have run out meanwhile are lost.

        Returns None, to be asked again soon, while the broker is away.
        """
        now = time.monotonic()
        lasting = [claim for claim in claims if claim.held_until > now]
        lost = {claim.task.id for claim in claims if claim.held_until <= now}
        if not lasting:
            return lost
        if not self._try(lambda: self._way_back.at_work(lasting)):
            return None
        for claim in lasting:
            claim.last_until(now + self._lease_seconds)
        return lost

    def settle(self, judged: Sequence[tuple[Claim, Verdict]], *, by_second: bool = False) -> Sequence[Written]:
        """Tell what became of the tasks; leave all out, to be given again, while the broker is away."""
        outcomes = [outcome_of_claim(*pair) for pair in judged]
        with self._lock:
            reached = [self._reached[one.held] for one in outcomes if one.held in self._reached]
        if not outcomes or not self._try(lambda: self._way_back.settled(outcomes, reached)):
            return []
        with self._lock:
            for one in outcomes:
                self._reached.pop(one.held, None)
        groups: defaultdict[Verdict, list[Claim]] = defaultdict(list)
        for claim, verdict in judged:
            groups[verdict].append(claim)
        return [Written(verdict, claims, len(claims)) for verdict, claims in groups.items()]

    def end_second_writer(self) -> None:
        """Do nothing: there is no second writer."""

    def close(self) -> None:
        """Do nothing: letters may be on their way to the other thread, which gives them back."""

    def disconnect(self) -> None:
        """End the lines to the broker, which no thread uses any more."""
        self._taking.close()
        self._way_back.close()

    # -- on a handler's thread ---------------------------------------------------------------------------

    def begin(self, claim: Claim) -> None:
        """Do nothing: that the claim arrived was told."""

    def settle_in(self, connection: Connection, claim: Claim) -> NoReturn:
        """Raise OptionError: there is no table to settle in."""
        raise _no_database(claim)

    def still_holds(self, connection: Connection, claim: Claim) -> NoReturn:
        """Raise OptionError: there is no table to read."""
        raise _no_database(claim)

    def checkpoint(self, claim: Claim, stage: str, context: str | None) -> None:
        """Tell how far the work has come; try as long as the claim lasts. Raises UnreachableError."""
        held = HeldClaim(claim.task.id, claim.token)
        reached = Reached(held, stage, context)
        while True:
            try:
                self._way_back.reached(reached)
            except UnreachableError:
                if time.monotonic() + _AWAY_SECONDS > claim.held_until:
                    raise
                time.sleep(_AWAY_SECONDS)
            else:
                break
        with self._lock:
            self._reached[held] = reached  # which goes with the outcome as well

    # -- on the taker's thread ---------------------------------------------------------------------------

    def fetch(self) -> float:
        """Take letters for which there is room; return the seconds until it is to be asked again."""
        with self._lock:
            wanted = {} if self._is_stopping else self._wanted
        if not wanted:
            return LONG_SECONDS
        wait = _WAIT_SECONDS if wanted.keys() >= set(self._known) else _SHORT_WAIT_SECONDS
        claims = self._claims_of(self._taking.take(wanted, wait))
        if claims:
            # Before they begin, so that the attempt counts: one that was not heard of costs none, whatever it does.
            self._way_back.at_work(claims)
        with self._lock:
            is_late, self._wanted = self._is_stopping, {}
            self._arrived += [] if is_late else claims
        if is_late:
            self._give_back(claims)
        self._wake_worker()
        return LONG_SECONDS

    def stop_asking(self) -> None:
        """Ask for no more tasks, for the worker stops; give back what it has not begun to look at."""
        with self._lock:
            self._is_stopping = True
            late, self._arrived = self._arrived, []
        self._give_back(late)
        self._wake_taker()

    def _claims_of(self, arrivals: Sequence[Arrival]) -> list[Claim]:
        """Return what can be worked on; each letter that cannot be read is told of, and hinders no other."""
        claims: list[Claim] = []
        for body, seconds_on_way in arrivals:
            try:
                claim = read_letter(body).claim(seconds_on_way)
            except ValueError as error:
                self._hooks.emit(StepFailed(LOOP, error, 0.0))
                continue
            if claim is not None:
                claims.append(claim)
        return claims

    def _give_back(self, claims: Sequence[Claim]) -> None:
        if claims:
            self._try(lambda: self._way_back.settled([outcome_of_claim(claim, GIVEN_BACK) for claim in claims]))

    def _try(self, tell: Callable[[], None]) -> bool:
        """Tell something; return whether the broker has it. One that is away is not asked again for a moment."""
        if time.monotonic() < self._away_until:
            return False
        try:
            tell()
        except UnreachableError as error:
            self._away_until = time.monotonic() + _AWAY_SECONDS
            self._hooks.emit(StepFailed(LOOP, error, _AWAY_SECONDS))
            return False
        return True


def _no_database(claim: Claim) -> OptionError:
    return OptionError(
        f"the task {claim.task.id} came by a queue, and has a transactional handler, for which there is no database "
        f"here; leave transactional out, or queue"
    )
