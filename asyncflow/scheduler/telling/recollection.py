"""What an instance has met lately: the hook that remembers it, for the row by which the instance tells of itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from asyncflow.events import (
    ArchiveGoesOn,
    ArchiveHeldUp,
    BreakerChanged,
    ClaimsRanOut,
    Event,
    ForksNothing,
    PageFetched,
    RollOverGoesOn,
    RollOverHeldUp,
    RowsLocked,
    SettleFenced,
    StepFailed,
    StepRecovered,
    TaskFailed,
    TaskRetried,
    TasksSettled,
)
from asyncflow.scheduler.table.log_lines import short_error
from asyncflow.scheduler.telling.instance_state import MOST_NAMED, ToldBreaker, ToldTrouble

FENCED, POOL, ARCHIVE, ROLL_OVER = "fenced", "pool", "archive", "roll-over"  # the names of troubles
LOCKED = "locked/"  # the beginning of the name of one
_CLOSED = "closed"
_LONGEST_ERROR = 200
_REMEMBERED_SECONDS = 3600.0  # after the last time
_LATELY_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 60.0  # a loop that fails tries again within that
_REMEMBERED = (
    *(PageFetched, TasksSettled, TaskRetried, TaskFailed, BreakerChanged, SettleFenced, ClaimsRanOut),
    *(ArchiveHeldUp, ArchiveGoesOn, RollOverHeldUp, RollOverGoesOn, StepFailed, StepRecovered, RowsLocked),
)


class Recollection(ForksNothing):
    """Remember what is open, what fails and what failed in the last hour; lives as long as its scheduler.

    Events come on all of its threads, and the cluster's thread asks. Moments are this process's, in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Begin at nothing, with a lock that nobody holds: in the child of a fork a thread of the parent may."""
        self._lock = threading.Lock()
        self.started_at = self._clock()
        self.rounds = self.succeeded = self.retried = self.failed = 0
        self._breakers: dict[tuple[str, str | None], ToldBreaker] = {}
        self._failing: dict[str, ToldTrouble] = {}
        self._troubles: dict[str, ToldTrouble] = {}
        self._ran_out: dict[str, ToldTrouble] = {}
        self._waits: tuple[float, Sequence[float]] = (0.0, ())  # of what was settled last, and when that was

    def takes(self, kind: type[Event]) -> bool:
        """Tell whether it remembers anything of events of a kind."""
        return kind in _REMEMBERED

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case PageFetched():
                with self._lock:
                    self.rounds += event.tasks > 0
            case TasksSettled():
                with self._lock:
                    self.succeeded += event.succeeded
                    self._waits = (self._clock(), event.waits)
            case TaskRetried():
                with self._lock:
                    self.retried += 1
            case TaskFailed():
                with self._lock:
                    self.failed += 1
            case BreakerChanged():
                self._note_breaker(event)
            case SettleFenced():
                self._note(self._troubles, FENCED, event.destination, event.tasks)
            case RowsLocked():
                self._note(self._troubles, f"{LOCKED}{event.destination}", "", event.tasks)
            case ClaimsRanOut():
                self._note(self._ran_out, event.task_type, "", event.given_back + event.failed)
            case ArchiveHeldUp():
                self._note(self._troubles, ARCHIVE, f"{event.directory}: {event.reason}", 1)
            case ArchiveGoesOn():
                self._forget(ARCHIVE)
            case RollOverHeldUp():
                self._note(self._troubles, ROLL_OVER, f"{event.table}: {event.reason}", 1)
            case RollOverGoesOn():
                self._forget(ROLL_OVER)
            case StepFailed():
                self._note_failure(event)
            case StepRecovered():
                with self._lock:
                    self._failing.pop(event.loop, None)
            case _:
                pass

    def now(self) -> float:
        """Return this process's time."""
        return self._clock()

    def lag_seconds(self) -> float:
        """Return how long the longest of the tasks that were settled last had been due; 0 if that is long ago."""
        with self._lock:
            settled_at, waits = self._waits
        return max(waits, default=0.0) if self._clock() - settled_at < _LATELY_SECONDS else 0.0

    def breakers(self) -> list[ToldBreaker]:
        """Return the breakers that are not closed."""
        with self._lock:
            return list(self._breakers.values())[:MOST_NAMED]

    def failing(self) -> list[ToldTrouble]:
        """Return the loops that go on failing: not all that fails under a loop's name tells when it is over."""
        return self._of_late(self._failing, _LONGEST_PAUSE_SECONDS)

    def troubles(self) -> list[ToldTrouble]:
        """Return the troubles of the last hour."""
        return self._of_late(self._troubles)

    def ran_out(self) -> list[ToldTrouble]:
        """Return the task types of which claims ran out in the last hour."""
        return self._of_late(self._ran_out)

    def _of_late(self, noted: dict[str, ToldTrouble], seconds: float = _REMEMBERED_SECONDS) -> list[ToldTrouble]:
        oldest = self._clock() - seconds
        with self._lock:
            for name in [name for name, one in noted.items() if one.last < oldest]:
                del noted[name]
            return sorted(noted.values(), key=lambda one: -one.last)[:MOST_NAMED]

    def _forget(self, trouble: str) -> None:
        with self._lock:
            self._troubles.pop(trouble, None)

    def _note_breaker(self, event: BreakerChanged) -> None:
        now, place = self._clock(), (event.destination, event.topic)
        with self._lock:
            if event.state == _CLOSED:
                self._breakers.pop(place, None)
                return
            known = self._breakers.get(place)
            self._breakers[place] = ToldBreaker(
                destination=event.destination,
                topic=event.topic,
                state=event.state,
                error=short_error(event.error)[:_LONGEST_ERROR] or (known.error if known else ""),
                since=known.since if known else now,
                probe_at=now + event.retry_in_seconds,
            )

    def _note_failure(self, event: StepFailed) -> None:
        if isinstance(event.error, PoolTimeoutError):
            self._note(self._troubles, POOL, event.loop, 1)
        self._note(self._failing, event.loop, f"{type(event.error).__name__}: {event.error}", 1)

    def _note(self, noted: dict[str, ToldTrouble], name: str, error: str, count: int) -> None:
        now, told = self._clock(), short_error(error)[:_LONGEST_ERROR]
        with self._lock:
            known = noted.get(name)
            if known is None or self._is_over(noted, known, now):
                known = ToldTrouble(name=name, since=now)
            noted[name] = replace(known, error=told, count=known.count + count, last=now)

    def _is_over(self, noted: dict[str, ToldTrouble], known: ToldTrouble, now: float) -> bool:
        """Tell whether what comes now begins anew: a count is of an hour at most, or of a loop's failures in a row."""
        if noted is self._failing:
            return now - known.last > _LONGEST_PAUSE_SECONDS
        return now - known.since > _REMEMBERED_SECONDS
