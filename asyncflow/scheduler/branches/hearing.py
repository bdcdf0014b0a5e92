"""Who hears what happens in one of several databases: its own memory first, then the hooks of all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from asyncflow.events import Event, ForksNothing, Hook, Hooks


class Named(ForksNothing):
    """Be the hook that hands events of one database on to the hooks of all, with its name."""

    def __init__(self, name: str, hooks: Hooks) -> None:
        self._name = name
        self._hooks = hooks

    def __call__(self, event: Event) -> None:
        """Hand one event on."""
        self._hooks.emit(replace(event, database_name=self._name))


class Communal(ForksNothing):
    """Be the hook of what all databases share: told to the hooks of all once, and remembered in each database."""

    def __init__(self, hooks: Hooks, memories: Iterable[Hook]) -> None:
        self._hooks = hooks
        self._memories = tuple(memories)

    def __call__(self, event: Event) -> None:
        """Hand one event on."""
        for memory in self._memories:
            memory(event)
        self._hooks.emit(event)
