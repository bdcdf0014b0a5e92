"""Hooks: who receives events, and how they are handed over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from asyncflow.callables import require_function
from asyncflow.errors import OptionError
from asyncflow.events.event import Event
from asyncflow.leash import Leash, may_go_on
from asyncflow.text import hide_parameters, shown


class Hook(Protocol):
    """Receive every event, on the thread where it happened; return fast and do not block."""

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        ...


Gate = Callable[[], bool]  # tells whether an event that has come is taken in


class ForksNothing:
    """Be a hook of our own, whose code forks nothing: it needs no leash."""

    def takes(self, kind: type[Event]) -> bool | Gate:
        """Tell whether it takes in events of a kind; a gate is asked at each of them. Asked once for each kind."""
        return True


class Hooks:
    """Hand events to hooks, on any thread; a hook that raises is reported and never disturbs the work.

    The hooks are a tuple that is replaced as a whole: who adds or removes one does so on one thread at a time. Who
    hears of which kind is known from the first event of it on, so that one that nobody takes in costs no call.
    """

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        if not isinstance(hooks, Iterable):
            raise OptionError(f"hooks is {shown(hooks)}; give a list of hooks")
        self._hooks: tuple[Hook, ...] = ()
        self._hearers: dict[type[Event], tuple[tuple[Hook, Gate | None], ...]] = {}
        for hook in hooks:
            self.add(hook)

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def __iter__(self) -> Iterator[Hook]:
        return iter(self._hooks)

    def add(self, hook: Hook) -> None:
        """Hand all further events to ``hook`` as well."""
        if not callable(hook):
            raise OptionError(f"hooks holds {shown(hook)}; give functions that take an event")
        require_function("a hook", hook)
        self._hear((*self._hooks, hook))

    def remove(self, hook: Hook) -> None:
        """Hand no further events to ``hook``; an unknown one is ignored."""
        self._hear(tuple(known for known in self._hooks if known is not hook))

    @contextmanager
    def heard_by(self, hook: Hook) -> Iterator[None]:
        """Hand events to ``hook`` as well, for as long as the block runs."""
        self.add(hook)
        try:
            yield
        finally:
            self.remove(hook)

    def emit(self, event: Event) -> None:
        """Hand ``event`` to each hook in the order of their addition."""
        hearers = self._hearers.get(type(event))
        for hook, is_open in self._hearers_of(type(event)) if hearers is None else hearers:
            if is_open is not None and not is_open():
                continue
            try:
                if isinstance(hook, ForksNothing):
                    hook(event)
                    continue
                with Leash():
                    hook(event)
            except BaseException as error:
                if not may_go_on(error):
                    raise
                hide_parameters(error)
                logging.getLogger("asyncflow").exception("The hook %r raised on %r", hook, event)

    def _hear(self, hooks: tuple[Hook, ...]) -> None:
        # In this order: who has begun to ask the old ones writes what they say into the old dict.
        self._hooks = hooks
        self._hearers = {}

    def _hearers_of(self, kind: type[Event]) -> tuple[tuple[Hook, Gate | None], ...]:
        known, found = self._hearers, []
        for hook in self._hooks:
            taken = hook.takes(kind) if isinstance(hook, ForksNothing) else True
            if taken:
                found.append((hook, None if taken is True else taken))
        known[kind] = hearers = tuple(found)
        return hearers
