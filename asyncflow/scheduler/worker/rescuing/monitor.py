"""The monitor: finds PROCESSING tasks whose claim ran out, and gives them back or fails them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Engine

from asyncflow.events import AttemptsRefunded, ClaimsRanOut, Hooks
from asyncflow.outbox import Outbox
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.lines.limits import Limits
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import uuid_of
from asyncflow.scheduler.cluster.departed import Departed
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.heads.lookout import Lookout, Rest
from asyncflow.scheduler.heads.parts import HeadParts, Part
from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.loops.pause import LONG_SECONDS
from asyncflow.scheduler.loops.settled_events import Ending, tell_of_each
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.table.lately_locked import LatelyLocked
from asyncflow.scheduler.table.outcome_messages import OutcomeMessages
from asyncflow.scheduler.worker.rescuing import queries
from asyncflow.scheduler.worker.rescuing.rescue import PAGE, Rescue, Rescued, Untimely

_Departures = frozenset[tuple[str, float]]


@dataclass(frozen=True, kw_only=True)
class Wards:
    """Say what a monitor looks after, and how often.

    ``departed`` are instances that died, each within ``lease_seconds`` of being missed; without, none is known of.
    ``untimely`` finds the claims that would stand for long, for the clock was set back.
    """

    shards: Callable[[], Collection[int]]
    types: Mapping[str, HandlerType]
    interval_seconds: float
    lease_seconds: float = SchedulerSettings.lease_seconds
    departed: Departed | None = None
    untimely: Untimely | None = None
    lookout: Lookout | None = None


@dataclass
class _PartsSeen:
    """Hold what the parts that were looked at since the first one have shown."""

    is_full: bool = False  # some lane may have more
    has_due: bool = False
    looked_for: set[tuple[_Departures, frozenset[int]] | None] = field(default_factory=set)  # None: some are left


class Monitor:
    """Rescue one page a step, of the shards to look after and of known types; one thread steps it.

    Any number may look at once: each write asks again whether the claim has run out. The attempt was counted when the
    task was claimed, so a task that kills its worker each time spends its retries like any other. What ``departed``
    instances held is rescued at once, before its claims run out, and what is ``untimely`` as well.
    """

    def __init__(
        self,
        outbox: Outbox,
        engine: Engine,
        wards: Wards,
        hooks: Hooks,
        on_rescued: Callable[[], None] = lambda: None,
    ) -> None:
        self._outbox = outbox
        self._outcomes = OutcomeMessages(outbox)
        self._types = wards.types
        self._database = Database(engine, limits=Limits.within(wards.lease_seconds))
        self._wards = wards
        self._hooks = hooks
        self._on_rescued = on_rescued  # tasks are due again
        self._lately_locked = LatelyLocked()
        self._rest: Rest | None = None
        if wards.lookout is not None:
            # It does without looks of its own while the lookout looks.
            self._rest = wards.lookout.rest_for(lambda head: head.task_type in self._types, Status.PROCESSING)
        self._looked_for: tuple[_Departures, frozenset[int]] = (frozenset(), frozenset())
        self._parts = HeadParts(self._database.run, outbox.tasks, Status.PROCESSING, outbox.shard_count)
        self._seen = _PartsSeen()

    def step(self) -> float:
        """Rescue what ran out or lost its worker, in a part of the lanes; return the seconds until the next look."""
        shards = frozenset(self._wards.shards())
        lost = self._departures()
        if not self._types or (self._rests(shards) and not self._is_news(lost, shards)):
            return self._wards.interval_seconds
        part = self._parts.next()
        heads = [head for head in part.heads if head.shard in shards and head.task_type in self._types]
        self._seen = _PartsSeen() if part.is_first else self._seen
        is_full = (
            self._rescue_ran_out(heads) | self._rescue_from(lost, shards, heads) | self._rescue_untimely(heads, part)
        )
        self._seen.is_full |= is_full
        if not part.is_last:
            return 0.0
        self._end_look(lost, shards)
        if self._seen.is_full:
            return 0.0
        # Looks are seconds apart; the application has other uses for a connection.
        self.close()
        return self._wards.interval_seconds

    def _end_look(self, lost: _Departures, shards: frozenset[int]) -> None:
        """Know what need not be looked for again, after all parts."""
        if self._rest is not None and self._seen.has_due:
            self._rest.after_work()
        elif self._rest is not None:
            self._rest.after_nothing(shards, LONG_SECONDS)
        if lost and self._seen.looked_for == {(lost, shards)} and not self._seen.is_full:
            self._looked_for = (lost, shards)

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def _departures(self) -> _Departures:
        return frozenset() if self._wards.departed is None else self._wards.departed.departures()

    def _rests(self, shards: frozenset[int]) -> bool:
        return self._rest is not None and self._rest.lasts(shards)

    def _is_news(self, lost: _Departures, shards: frozenset[int]) -> bool:
        """Tell whether instances departed whose tasks in these shards were not looked for."""
        return bool(lost) and (lost, shards) != self._looked_for

    def _rescue_ran_out(self, heads: Iterable[Head]) -> bool:
        """Rescue a page of each; return whether there may be more."""
        due = [head for head in heads if head.due_in_seconds <= 0]
        self._seen.has_due |= bool(due)
        rescued = [self._rescue(head, self._rescue_of(head.task_type)) for head in due]
        return any(one.is_full for one in rescued)

    def _rescue_from(self, lost: _Departures, shards: frozenset[int], heads: Iterable[Head]) -> bool:
        """Rescue a page of each of what those held that departed; return whether there may be more."""
        if not self._is_news(lost, shards):
            return False
        live = queries.live_owners(self._outbox.instances)
        names = frozenset(name for name, _ in lost)
        back = self._database.run(lambda connection: connection.scalars(live, {"owners": list(names)}).all())
        gone, waited = names.difference(back), self._wards.lease_seconds
        its = {"owners": gone, "waited_seconds": waited}
        rescues = [(head, self._rescue_of(head.task_type, **its)) for head in heads] if gone else []
        rescued = [self._rescue(*pair) for pair in rescues]
        is_done = not any(one.is_full or one.left for one in rescued)
        self._seen.looked_for.add((lost, shards) if is_done else None)
        return any(one.is_full for one in rescued)

    def _rescue_untimely(self, heads: Sequence[Head], part: Part) -> bool:
        """Rescue a page of what the clock would let stand, for it was set back; return whether there may be more."""
        untimely = self._wards.untimely
        if untimely is None or not heads:
            return False
        untimely.notice(heads)
        name_of_part = "" if part.is_whole else heads[0].task_type
        rows = self._database.run(lambda connection: untimely.read(connection, heads, PAGE, name_of_part))
        rescued = []
        for name in sorted({row.task_type for row in rows}):
            its = [row for row in rows if row.task_type == name]
            rescue = self._rescue_of(name, longest=untimely.longest)
            rescued.append(self._write(rescue, partial(rescue.write_rows, rows=its)))
        return len(rows) == PAGE and any(one.given_back or one.failed for one in rescued)

    def _rescue_of(self, name: str, **how: Any) -> Rescue:
        return Rescue(self._outbox.tasks, self._types[name], outcomes=self._outcomes, **how)

    def _rescue(self, head: Head, rescue: Rescue) -> Rescued:
        """Rescue a page."""
        return self._write(rescue, partial(rescue.write, head=head))

    def _write(self, rescue: Rescue, write: Callable[..., Rescued]) -> Rescued:
        """Write what becomes of tasks, and tell of it."""
        lately_locked = self._lately_locked if self._database.skips_locked else None
        rescued = self._database.run(partial(write, lately_locked=lately_locked))
        name, failed = rescue.task_type.name, rescued.failed
        tell_of_each(self._hooks, (Ending(uuid_of(raw_id), name, spent, rescue.error) for raw_id, spent in failed))
        if rescued.given_back or failed:
            self._hooks.emit(ClaimsRanOut(name, rescued.given_back, len(failed)))
        if rescued.unspent:
            self._hooks.emit(AttemptsRefunded(name, rescued.unspent))
        if rescued.given_back:
            self._on_rescued()
        return rescued
