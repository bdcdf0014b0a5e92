"""The hooks of an outbox: told of what happens, or standing around enqueues, deliveries and attempts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from asyncflow.errors import OptionError
from asyncflow.events import Hook, Hooks
from asyncflow.leash import Leash
from asyncflow.outbox.declarations.around import Around
from asyncflow.text import hide_parameters, shown

Factory = Callable[[Any], AbstractContextManager[Any]]


class AroundEnqueues(Protocol):
    """Be a hook that stands around enqueues."""

    def around_enqueue(self, enqueuing: Any, /) -> AbstractContextManager[Any]:
        """Stand around the writing of tasks of one type, an Enqueuing, to which headers may be added."""
        ...


class AroundDeliveries(Protocol):
    """Be a hook that stands around deliveries."""

    def around_delivery(self, delivering: Any, /) -> AbstractContextManager[Any]:
        """Stand around one call of a publisher, a Delivering."""
        ...


class AroundAttempts(Protocol):
    """Be a hook that stands around attempts."""

    def around_attempt(self, ctx: Any, /) -> AbstractContextManager[Any]:
        """Stand around an attempt of a handler, with its TaskContext."""
        ...


_METHODS = ("around_enqueue", "around_delivery", "around_attempt")
AnyHook = Hook | AroundEnqueues | AroundDeliveries | AroundAttempts


class OutboxHooks(Hooks):
    """Hand events to hooks, and know those that stand around work, the first outermost; lives as long as its outbox.

    A hook has any of three methods; then it need not take events. What they return is entered before the work and left
    behind it, on its thread; what the work raises goes through it. A fault of its own is logged and disturbs nothing,
    but one of ``around_attempt`` is the attempt's, as with ``Outbox(around=...)``. Who adds or removes one does so on
    one thread at a time.
    """

    def __init__(self, hooks: Iterable[Any], around: Around) -> None:
        self.around_enqueue: tuple[Factory, ...] = ()
        self.around_delivery: tuple[Factory, ...] = ()
        self._around = around
        super().__init__(hooks)

    def add(self, hook: Any) -> None:
        """Let one more hook hear of what happens, and stand around work where it has methods for that."""
        enqueue, delivery, attempt = (getattr(hook, name, None) for name in _METHODS)
        for name, method in zip(_METHODS, (enqueue, delivery, attempt), strict=True):
            if method is not None and not callable(method):
                raise OptionError(f"{name} of a hook is {shown(method)}; give a method that makes a context manager")
        if callable(hook) or not (enqueue or delivery or attempt):
            super().add(hook)
        if attempt is not None:
            self._around.add(attempt)
        if enqueue is not None:
            self.around_enqueue = (*self.around_enqueue, enqueue)
        if delivery is not None:
            self.around_delivery = (*self.around_delivery, delivery)

    def remove(self, hook: Any) -> None:
        """Let a hook hear of nothing more, and stand around nothing."""
        super().remove(hook)
        enqueue, delivery, attempt = (getattr(hook, name, None) for name in _METHODS)
        self.around_enqueue = tuple(one for one in self.around_enqueue if one != enqueue)
        self.around_delivery = tuple(one for one in self.around_delivery if one != delivery)
        if attempt is not None:
            self._around.take_out(attempt)


class StandingAround:
    """Enter what stands around a piece of work, the first outermost, and leave it in reverse.

    A fault of theirs is logged, and neither keeps the work from being done nor takes the place of its error.
    """

    def __init__(self, factories: Iterable[Factory], given: Any) -> None:
        self._factories = factories
        self._given = given
        self._entered: list[AbstractContextManager[Any]] = []

    def __enter__(self) -> None:
        for factory in self._factories:
            try:
                with Leash():
                    manager = factory(self._given)
                    manager.__enter__()
                self._entered.append(manager)
            except Exception as error:  # noqa: BLE001 - of a hook, which must not disturb the work
                _tell(factory, "entered", error)

    def __exit__(self, *how: Any) -> None:
        while self._entered:
            manager = self._entered.pop()
            try:
                with Leash():
                    manager.__exit__(*how)
            except Exception as error:  # noqa: BLE001 - of a hook, which must not disturb the work
                if error is not how[1]:
                    _tell(manager, "left", error)


def _tell(whose: object, how: str, error: Exception) -> None:
    hide_parameters(error)
    logging.getLogger("asyncflow").error("%r raised as it was %s", whose, how, exc_info=error)
