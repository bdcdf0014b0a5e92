"""Task types that this process does not declare: their rows wait for one that does."""

from __future__ import annotations

from collections.abc import Container, Iterable

from asyncflow.events import Hooks, UnknownTypeSeen


class UnknownTypes:
    """Tell of each unknown task type once; shared by all relays."""

    def __init__(self, known: Container[str], hooks: Hooks) -> None:
        self._known = known
        self._hooks = hooks
        self._told: set[str] = set()

    def notice(self, task_types: Iterable[str]) -> None:
        """Take in the types that were seen waiting."""
        for task_type in task_types:
            if task_type not in self._known and task_type not in self._told:
                self._told.add(task_type)
                self._hooks.emit(UnknownTypeSeen(task_type))
