"""What one process has counted since it was written last: the hook that counts, by task type and outcome."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from asyncflow.events import ClaimsRanOut, Event, ForksNothing, TaskFailed, TaskRetried, TasksSettled

SUCCEEDED, FAILED, RETRIED = "succeeded", "failed", "retried"
_SLICE_SECONDS = 10  # so far apart may be what is put into one minute and what happened in it
_MOST_SLICES = 720  # of a process that counts and never writes
_COUNTED = (TasksSettled, TaskRetried, TaskFailed, ClaimsRanOut)

TypeOutcome = tuple[str, str]  # a task type, and what became of it
Slice = tuple[float, Counter[TypeOutcome]]  # when it was, on the monotonic clock, and what was counted then


class MinuteCounts(ForksNothing):
    """Count until somebody takes it; events come on all threads, and one thread takes.

    No clock decides here to which minute a count belongs: only the database's does, when the counts are written.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Begin at nothing, with a lock that nobody holds: in the child of a fork a thread of the parent may."""
        self._lock = threading.Lock()
        self._slices: dict[int, Counter[TypeOutcome]] = {}

    def takes(self, kind: type[Event]) -> bool:
        """Tell whether it counts events of a kind."""
        return kind in _COUNTED

    def __call__(self, event: Event) -> None:
        """Count one event."""
        match event:
            case TasksSettled():
                self._add(((name, SUCCEEDED), count) for name, count in event.of_types)
            case TaskRetried():
                self._add([((event.task_type, RETRIED), 1)])
            case TaskFailed():
                self._add([((event.task_type, FAILED), 1)])
            case ClaimsRanOut():
                self._add([((event.task_type, RETRIED), event.given_back)])
            case _:
                pass

    def now(self) -> float:
        """Return the time by the clock that the slices have."""
        return self._clock()

    def take(self) -> list[Slice]:
        """Return what was counted since the last call."""
        with self._lock:
            slices, self._slices = self._slices, {}
        return [((number + 0.5) * _SLICE_SECONDS, counts) for number, counts in slices.items()]

    def _add(self, counted: Iterable[tuple[TypeOutcome, int]]) -> None:
        number = int(self._clock() // _SLICE_SECONDS)
        with self._lock:
            counts = self._slices.get(number)
            if counts is None:
                counts = self._slices[number] = Counter()
                while len(self._slices) > _MOST_SLICES:
                    del self._slices[min(self._slices)]
            for key, count in counted:
                if count:
                    counts[key] += count
