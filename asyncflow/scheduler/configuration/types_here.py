"""The task types of one destination."""

from __future__ import annotations

from collections.abc import Mapping

from asyncflow.outbox.declarations.task_type import MessageType


class TypesHere:
    """Know the types whose messages go to one destination, as they are in force; those declared later included."""

    def __init__(self, types: Mapping[str, MessageType], destination: str) -> None:
        self.in_force = types
        self._destination = destination

    def __getitem__(self, name: str) -> MessageType:
        return self.in_force[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.of(name) is not None

    def of(self, name: str) -> MessageType | None:
        """Return the type if its messages go here."""
        task_type = self.in_force.get(name)
        return task_type if task_type is not None and task_type.destination == self._destination else None

    def is_ordered(self, name: str) -> bool:
        """Tell whether it is an ordered type whose messages go here."""
        task_type = self.of(name)
        return task_type is not None and task_type.ordered

    def any_is_ordered(self) -> bool:
        """Tell whether there is an ordered type."""
        return any(map(self.is_ordered, self.in_force))
