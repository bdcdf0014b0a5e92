"""The waves in which a round goes to its publisher, so that no task of an ordered key overtakes another."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from asyncflow.outbox import MessageType, Task
from asyncflow.scheduler.publishing.order import Key, goes_on, key_of
from asyncflow.scheduler.publishing.publisher import Outcome, Unavailable

NO_LEASE = "the lease on the shard ran out"
_MOST_SECONDS = 1.0  # for the waves after the first, and the one that goes on then: all others wait for the round


class Waves:
    """Tell who of some tasks goes next; made for one delivery.

    ``places`` are those of the next wave among the tasks: first what has no order, and the first of each key; then of
    each key who stood behind one that made way. ``outcomes`` are those that are known, None for who waits.
    """

    def __init__(self, tasks: Sequence[Task], types: Mapping[str, MessageType]) -> None:
        self.outcomes: list[Outcome | None] = [None] * len(tasks)
        self.places: list[int] = []
        self._tasks = tasks
        self._types = types
        lines: dict[Key, deque[int]] = {}
        for place, task in enumerate(tasks):
            if types[task.task_type].ordered and task.key is not None:
                lines.setdefault(key_of(task), deque()).append(place)
            else:
                self.places.append(place)
        # The one ahead stays at the front of its line until its outcome is known.
        self._lines = list(lines.values())
        self.places += [line[0] for line in self._lines]

    def take_in(self, outcomes: Sequence[Outcome]) -> None:
        """Know what became of the wave, and who may follow."""
        told = dict(zip(self.places, outcomes, strict=True))
        for place, outcome in told.items():
            self.outcomes[place] = outcome
        self.places = [line[0] for line in self._lines if self._moves_up(line, told[line[0]])]
        self._lines = [line for line in self._lines if line]

    def end(self, why: Unavailable) -> None:
        """Let nobody follow: nothing is written of those that were not sent."""
        for line in self._lines:
            self._leave(line, why)
        self.places = []

    def _moves_up(self, line: deque[int], outcome: Outcome) -> bool:
        """Let the one behind follow if the one ahead made way; else it and all others of the line wait."""
        ahead = self._tasks[line.popleft()]
        if line and goes_on(ahead, outcome, self._types[ahead.task_type].when_exhausted):
            return True
        if isinstance(outcome, Unavailable):
            self._leave(line, outcome)
        line.clear()
        return False

    def _leave(self, line: deque[int], why: Unavailable) -> None:
        for place in line:
            self.outcomes[place] = why


class LaterWaves:
    """Tell of each wave after the first whether it may go, and how long they took; made for one delivery.

    ``lasts`` tells whether the shards are still held. A destination that becomes slow in the middle ends the round, so
    that others get their turn, and shards are handed over.
    """

    def __init__(self, lasts: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._lasts = lasts
        self._clock = clock
        self._began_at = 0.0
        self._count = 0

    def why_none(self) -> str:
        """Return why the next wave may not go, nothing if it may; asked between two waves."""
        if not self._lasts():
            return NO_LEASE  # another instance may have them in hand by now
        now = self._clock()
        if not self._count:
            self._began_at = now
        elif now - self._began_at > _MOST_SECONDS:
            return "the round had its time; they go in the next one"
        self._count += 1
        return ""

    def seconds_each(self) -> float | None:
        """Return how long such a wave took, asked when the last is over; None if there was none."""
        return (self._clock() - self._began_at) / self._count if self._count else None
