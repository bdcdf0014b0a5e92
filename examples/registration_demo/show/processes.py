"""The processes of the show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from examples.registration_demo.show.child import Child
from examples.registration_demo.show.errors import ShowError


class Processes:
    """Hold every process that was started, by name, and end them all on leaving, whatever happened."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: dict[str, Child] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children.values():
            child.kill()

    def __getitem__(self, name: str) -> Child:
        return self._children[name]

    def start(self, name: str, *command: str, **environment: str) -> Child:
        """Start a Python program under a name; a later one of the same name takes its place."""
        child = Child(name, command, environment, self._logs / f"{name}.log")
        self._children[name] = child
        return child

    def require_all(self) -> None:
        """Raise ShowError if one has died of itself."""
        for child in self._children.values():
            if child.has_died:
                raise ShowError(f"{child.name} has died ({child.fate()})")

    def end(self, *names: str) -> None:
        """Have these shut down in good order."""
        for name in names:
            self[name].ask_to_end()
        for name in names:
            self[name].end()

    def last_words(self) -> Mapping[str, str]:
        """Return the end of each one's log."""
        return {name: child.last_words() for name, child in self._children.items()}
