"""The task types of one destination."""

from __future__ import annotations

from collections.abc import Mapping, Set

from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.scheduler.configuration.types_in_force import Overlay


class TypesHere:
    """Know the types whose messages go to one destination, as they are in force; those declared later included.

    ``here``, ``ordered``, ``coalescing`` and ``configured`` are as of the last ``look``, which the relay's thread takes
    once a round, so that a row costs no call: the types by name, the names of the ordered ones, of those of which the
    latest of a key alone is sent, and the types whose configuration sets the number of retries. ``ordered`` is the
    same set all the time, so the relay's thread alone may look into it.
    The methods tell any thread what is in force now.
    """

    def __init__(self, types: Overlay[MessageType], destination: str) -> None:
        self._types = types
        self._destination = destination
        self.ordered: set[str] = set()
        self._take_in()

    def look(self) -> None:
        """Take in what was declared or configured since the last look."""
        if self._in_force is not self._types.in_force or self._count != len(self._types.declared):
            self._take_in()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._of(name) is not None

    def is_ordered(self, name: str) -> bool:
        """Tell whether it is an ordered type whose messages go here."""
        task_type = self._of(name)
        return task_type is not None and task_type.ordered

    def _of(self, name: str) -> MessageType | None:
        """Return the type if its messages go here."""
        task_type = self._types.get(name)
        return task_type if task_type is not None and task_type.destination == self._destination else None

    def _take_in(self) -> None:
        self._in_force, self._count = in_force, _ = self._types.in_force, len(self._types.declared)
        types = {name: in_force.get(name, declared) for name, declared in list(self._types.declared.items())}
        self.here: Mapping[str, MessageType] = {
            name: kind for name, kind in types.items() if kind.destination == self._destination
        }
        ordered = {name for name, kind in self.here.items() if kind.ordered}
        self.ordered.intersection_update(ordered)
        self.ordered.update(ordered)
        self.coalescing: Set[str] = {name for name, kind in self.here.items() if kind.coalesce}
        self.configured: Mapping[str, MessageType] = {
            name: kind for name, kind in self.here.items() if kind.configured_max_retries is not None
        }
