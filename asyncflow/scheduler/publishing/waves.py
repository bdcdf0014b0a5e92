"""The waves in which a round goes to its publisher, so that no task of an ordered key overtakes another."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

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
        self.outcomes: list[Outcome | None] = []
        self.places: list[int] = []
        self._tasks: list[Task] = []
        self._types = types
        # The one ahead stays at the front of its line until its outcome is known.
        self._lines: dict[Key, deque[int]] = {}
        self._stopped: set[Key] = set()  # keys of which some wait behind one that did not go
        self.join(tasks)

    @property
    def left(self) -> int:
        """Return how many waves there are to come, if all goes well."""
        return max(map(len, self._lines.values()), default=0)

    def lets_join(self, key: Key) -> bool:
        """Tell whether more of a key may come: all of it that is here went so far."""
        return key not in self._stopped

    def join(self, tasks: Sequence[Task]) -> None:
        """Take in further tasks between two waves, each behind those of its key that are here."""
        known = len(self._tasks)
        self._tasks += tasks
        self.outcomes += [None] * len(tasks)
        firsts: list[int] = []
        for place, task in enumerate(tasks, known):
            if not self._types[task.task_type].ordered or task.key is None:
                self.places.append(place)
            elif (line := self._lines.get(key := key_of(task))) is not None:
                line.append(place)
            else:
                self._lines[key] = deque((place,))
                firsts.append(place)
        self.places += firsts

    def take_in(self, outcomes: Sequence[Outcome]) -> None:
        """Know what became of the wave, and who may follow."""
        told = dict(zip(self.places, outcomes, strict=True))
        for place, outcome in told.items():
            self.outcomes[place] = outcome
        self.places = [line[0] for line in self._lines.values() if self._moves_up(line, told[line[0]])]
        self._lines = {key: line for key, line in self._lines.items() if line}

    def end(self, why: Unavailable) -> None:
        """Let nobody follow: nothing is written of those that were not sent."""
        for line in (self.places, *self._lines.values()):
            self._leave(line, why)
        self.places = []

    def _moves_up(self, line: deque[int], outcome: Outcome) -> bool:
        """Let the one behind follow if the one ahead made way; else it and all others of the line wait."""
        ahead = self._tasks[line.popleft()]
        if goes_on(ahead, outcome, self._types[ahead.task_type].when_exhausted):
            return bool(line)
        self._stopped.add(key_of(ahead))
        if isinstance(outcome, Unavailable):
            self._leave(line, outcome)
        line.clear()
        return False

    def _leave(self, line: Iterable[int], why: Unavailable) -> None:
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
