"""Who has what a limit allows: rows from the pages and rows of parked keys in turn, so that neither kind starves."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from itertools import zip_longest

from asyncflow.outbox import Task


class Alternation:
    """Let the two kinds of a type's rows alternate, and begin in turn; lives as long as its relay."""

    def __init__(self) -> None:
        self._parked_began: set[str] = set()

    def mix(self, tasks: Iterable[Task], types: Container[str], is_parked: Callable[[Task], bool]) -> list[Task]:
        """Return the tasks, those of ``types`` that have both kinds alternating; each kind keeps its order."""
        kinds: dict[str, tuple[list[Task], list[Task]]] = {}
        mixed = []
        for task in tasks:
            if task.task_type in types:
                kinds.setdefault(task.task_type, ([], []))[is_parked(task)].append(task)
            else:
                mixed.append(task)
        for name, (free, parked) in kinds.items():
            first, second = (parked, free) if self._is_parked_next(name, free, parked) else (free, parked)
            mixed += [task for pair in zip_longest(first, second) for task in pair if task is not None]
        return mixed

    def _is_parked_next(self, name: str, free: list[Task], parked: list[Task]) -> bool:
        if not (free and parked):
            return False
        if name in self._parked_began:
            self._parked_began.discard(name)
            return False
        self._parked_began.add(name)
        return True
