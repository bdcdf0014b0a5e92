"""The handler types that go by one queue, or by none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from asyncflow.outbox.declarations.handler_type import HandlerType


class TypesByQueue(Mapping[str, HandlerType]):
    """Show those of some handler types whose tasks go by ``queue``; None: those whose tasks are done in the scheduler.

    What it shows is what is in force at the moment; any thread may look.
    """

    def __init__(self, types: Mapping[str, HandlerType], queue: str | None) -> None:
        self._types = types
        self._queue = queue

    def __getitem__(self, name: str) -> HandlerType:
        kind = self._types[name]
        if kind.queue != self._queue:
            raise KeyError(name)
        return kind

    def __iter__(self) -> Iterator[str]:
        return (name for name, kind in self._types.items() if kind.queue == self._queue)

    def __len__(self) -> int:
        return sum(1 for _ in self)
