"""What a drain does, heard from its events."""

from __future__ import annotations

from sqlalchemy import Engine

from asyncflow import events
from asyncflow.errors import UndeliveredError
from asyncflow.outbox import Outbox
from asyncflow.scheduler.drained import Drained
from asyncflow.scheduler.operator.pending_counts import count_pending
from asyncflow.scheduler.worker.claiming.claim_source import DESTINATION as HANDLERS


class DrainLog:
    """Be a hook that counts for one drain, and keeps the errors of failed attempts in their order.

    Counts on the thread that drains; handlers that end late, on threads of their own, only add to the errors.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._sent = self._done = self._retried = self._failed = self._cancelled = 0
        self._unreachable: set[str] = set()
        self._errors: list[BaseException] = []

    def __call__(self, event: events.Event) -> None:
        """Take in one event."""
        match event:
            case events.TasksSettled(destination=destination):
                if destination == HANDLERS:
                    self._done += event.succeeded
                else:
                    self._sent += event.succeeded
                self._cancelled += event.cancelled
            case events.TaskRetried():
                self._retried += 1
                self._keep_undelivered(event)
            case events.TaskFailed():
                self._failed += 1
                self._keep_undelivered(event)
            case events.AttemptFailed() | events.HandlerFailedLate() | events.JobFailed() | events.JobStopped():
                self._errors.append(event.error)
            case events.BreakerChanged():
                self._take_in_breaker(event)

    def drained(self, engine: Engine) -> Drained:
        """Tell of the whole drain, and of what is left."""
        return Drained(
            sent=self._sent,
            done=self._done,
            retried=self._retried,
            failed=self._failed,
            cancelled=self._cancelled,
            left=count_pending(engine, self._outbox),
            unreachable=tuple(sorted(self._unreachable)),
            errors=tuple(self._errors),
        )

    def _keep_undelivered(self, event: events.TaskRetried | events.TaskFailed) -> None:
        """Keep what befell a message; of a handler's task the error itself is known already."""
        if event.task_type in self._outbox.task_types:
            self._errors.append(UndeliveredError(f"{event.task_type}: {event.error}"))

    def _take_in_breaker(self, event: events.BreakerChanged) -> None:
        name = event.destination if event.topic is None else f"{event.destination}/{event.topic}"
        if event.state == "closed":
            self._unreachable.discard(name)
        elif event.state == "open" and name not in self._unreachable:
            self._unreachable.add(name)
            self._errors.append(UndeliveredError(f"{name} does not answer: {event.error}"))
