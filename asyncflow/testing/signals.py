"""Signals in place of sleeps: a hook that lets a test wait for an event."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from asyncflow.events import Event
from asyncflow.forks import leave_at_fork

EventT = TypeVar("EventT", bound=Event)


class Signals:
    """Be a hook that keeps every event and lets a test wait for one."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Keep what there is in the child of a fork, where nobody gives back a lock that a thread of the parent had."""
        self._changed = threading.Condition()

    def __call__(self, event: Event) -> None:
        """Keep the event and wake who waits."""
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def of(self, kind: type[EventT]) -> list[EventT]:
        """Return the events of one kind, in order."""
        return [event for event in list(self.events) if isinstance(event, kind)]

    def wait_for(
        self,
        kind: type[EventT],
        where: Callable[[EventT], bool] = lambda _: True,
        *,
        timeout_seconds: float = 60.0,
    ) -> EventT:
        """Return the first event of a kind that fits, waiting for it; raises AssertionError after the time-out."""
        found: list[EventT] = []

        def seen() -> bool:
            found[:] = [event for event in self.of(kind) if where(event)]
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(seen, timeout_seconds):
                raise AssertionError(f"no {kind.__name__} within {timeout_seconds} s; saw {self.events[-10:]}")
        return found[0]
