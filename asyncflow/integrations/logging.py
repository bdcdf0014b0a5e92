"""Events as lines of the standard library's logging, under the logger ``asyncflow``."""

from __future__ import annotations

import dataclasses
import logging
from datetime import datetime

from asyncflow import events
from asyncflow.errors import TaskServiceError

_QUIET: tuple[type[events.Event], ...] = (
    events.TaskEnqueued,
    events.PageFetched,
    events.TasksPublished,
    events.TasksSettled,
    events.SettledRowsDeleted,
    events.AuditEntriesDeleted,
    events.IdempotencyKeysForgotten,
    events.TickMisfired,
    events.JobItemFinished,
)
_LOUD: tuple[type[events.Event], ...] = (
    events.TaskRetried,
    events.SettleFenced,
    events.HandlerFailedLate,
    events.RowsLocked,
    events.ClaimsRanOut,
    events.AttemptsRefunded,
    events.UnknownTypeSeen,
    events.ConfigurationIgnored,
    events.StepFailed,
    events.LoopRestarted,
    events.JobFailed,
    events.JobFailedOver,
    events.JobFenced,
)

_STOPPED = (events.SchedulerStopped, events.WorkerStopped)


class LoggingHook:
    """Write each event as one line: its name, then field=value.

    What happens all the time is DEBUG, changes of state INFO, what somebody may have to look at WARNING, a dead
    letter ERROR. The event itself is in the record's ``event`` attribute, for structured handlers.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("asyncflow")

    def __call__(self, event: events.Event) -> None:
        """Log the event."""
        level = level_of(event)
        if self._logger.isEnabledFor(level):
            told = (events.StepFailed, events.HandlerFailedLate, events.JobFailed, events.JobStopped)
            error = event.error if isinstance(event, told) else None
            self._logger.log(level, "%s", line_of(event), extra={"event": event}, exc_info=_traced(error))


def level_of(event: events.Event) -> int:
    """Return the logging level of an event."""
    if isinstance(event, (events.TaskFailed, events.JobStopped)):
        return logging.ERROR
    if isinstance(event, events.BreakerChanged):
        return logging.WARNING if event.state == "open" else logging.INFO
    if isinstance(event, events.OwnershipChanged) and event.lost:
        return logging.WARNING
    if isinstance(event, _LOUD) or (isinstance(event, _STOPPED) and not event.clean):
        return logging.WARNING
    return logging.DEBUG if isinstance(event, _QUIET) else logging.INFO


def line_of(event: events.Event) -> str:
    """Return ``EventName field=value …``; times with three digits, many shards as a number."""
    fields = ((field.name, getattr(event, field.name)) for field in dataclasses.fields(event))
    return " ".join([type(event).__name__, *(f"{name}={_shown(value)}" for name, value in fields)])


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple) and len(value) > 8:
        return f"{len(value)}-of-them"
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {' '.join(str(value).split())[:300]!r}"
    return repr(value) if isinstance(value, str) and not _is_plain(value) else str(value)


def _is_plain(value: str) -> bool:
    return value.isprintable() and value != "" and " " not in value


def _traced(error: BaseException | None) -> BaseException | None:
    # A database or service that is away is told by its message; a fault in the code needs its traceback.
    if isinstance(error, TaskServiceError) or type(error).__module__.startswith("sqlalchemy"):
        return None
    return error
