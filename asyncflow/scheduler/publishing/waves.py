"""The waves in which a round goes to its publisher, so that no task of an ordered key overtakes another."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from asyncflow.outbox import MessageType, Task
from asyncflow.scheduler.publishing.order import Key, goes_on, key_of
from asyncflow.scheduler.publishing.publisher import Outcome, Unavailable


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
