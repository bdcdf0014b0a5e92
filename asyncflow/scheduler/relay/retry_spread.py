"""The spread of refused tasks: a crowd of them is not due again at one moment, so that no round is full of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from math import ceil, frexp

from asyncflow.outbox import Task
from asyncflow.scheduler.publishing.order import is_in_order

Retried = dict[tuple[float, str], list[Task]]  # by the seconds until they are due again, and the error

TOGETHER = 20  # rows may be due at one moment: others hardly feel them in a round
MOST_LATER = 0.5  # of its wait may a task wait longer than its policy says
_ROWS_A_SECOND = 1000  # beside which others go on as without
_MOST_PARTS = 16  # of one group, a statement each


class RetrySpread:
    """Put retries off that would be due in a crowd; lives as long as its relay, used by its thread alone.

    So many rows a second are let be due; where more are refused than that, they come evenly, and no later than by half
    of their wait. None is due earlier than its policy and the destination say, and a few at once are due just then.
    Tasks of an ordered key are left alone: their key is what waits.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken_until: dict[int, float] = {}  # by the size of the wait, in powers of two

    def over(self, retried: Mapping[tuple[float, str], list[Task]], ordered: Container[str]) -> Retried:
        """Return the groups with further ones, for what is put off."""
        spread: Retried = {}
        for (wait, error), tasks in retried.items():
            in_order = [task for task in tasks if is_in_order(task, ordered)] if ordered else []
            if in_order:
                spread.setdefault((wait, error), []).extend(in_order)
            free = [task for task in tasks if not is_in_order(task, ordered)] if in_order else tasks
            for part in _parts(free):
                spread.setdefault((wait + self._later(wait, len(part)), error), []).extend(part)
        return spread

    def _later(self, wait: float, rows: int) -> float:
        """Return by how many seconds rows are put off that were to wait so long, and take that moment for them."""
        size, due = frexp(wait)[1], self._clock() + wait
        taken_until = max(due, self._taken_until.get(size, due))
        later = taken_until - due - TOGETHER / _ROWS_A_SECOND
        if later > wait * MOST_LATER:  # each moment has some: once more from the first
            taken_until = due
        self._taken_until[size] = taken_until + rows / _ROWS_A_SECOND
        return later if 0 < later <= wait * MOST_LATER else 0.0


def _parts(tasks: Sequence[Task]) -> Iterator[Sequence[Task]]:
    most = max(TOGETHER, ceil(len(tasks) / _MOST_PARTS))
    for start in range(0, len(tasks), most):
        yield tasks[start : start + most]
