"""Task types that this process does not declare: their rows wait for one that does."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable

from asyncflow.events import Hooks, UnknownTypeSeen


class UnknownTypes:
    """Tell of each unknown task type once; relays, worker and the cluster's thread notice them."""

    def __init__(self, known: Container[str], hooks: Hooks) -> None:
        self._known = known
        self._hooks = hooks
        self._told: set[str] = set()
        self._lock = threading.Lock()  # of what was told

    def notice(self, task_types: Iterable[str]) -> None:
        """Take in the types that were seen waiting."""
        for task_type in task_types:
            if task_type not in self._known and self._is_new(task_type):
                self._hooks.emit(UnknownTypeSeen(task_type))

    def names(self) -> list[str]:
        """Return those that were seen waiting and are not declared by now, in alphabetical order."""
        with self._lock:
            return sorted(name for name in self._told if name not in self._known)

    def _is_new(self, task_type: str) -> bool:
        with self._lock:
            is_new = task_type not in self._told
            self._told.add(task_type)
        return is_new
