"""Events as lines of the standard library's logging, under ``asyncflow``: what a person sees without a hook."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any
from uuid import UUID

from asyncflow import events
from asyncflow.errors import TaskServiceError
from asyncflow.events import Event, ForksNothing, Hook, Hooks
from asyncflow.events.hooks import Gate
from asyncflow.leash import Leash
from asyncflow.outbox.declarations.signals import HandlerSignal
from asyncflow.repeats import AWAY, Repeats, is_expected, kind_of
from asyncflow.sentences import sentence_of
from asyncflow.text import hide_parameters, printable, without_parameters

_QUIET = (
    events.TaskEnqueued,
    events.PageFetched,
    events.TasksPublished,
    events.TasksSettled,
    events.SettledRowsDeleted,
    events.TasksRolledOver,
    events.AuditEntriesDeleted,
    events.IdempotencyKeysForgotten,
    events.InboxEntriesDeleted,
    events.TickMisfired,
    events.JobItemFinished,
)
_LOUD = (
    events.AttemptFailed,
    events.TaskRetried,
    events.SettleFenced,
    events.HandlerFailedLate,
    events.BuilderFailed,
    events.PublisherFailed,
    events.RowsLocked,
    events.ClaimsRanOut,
    events.AttemptsRefunded,
    events.RollOverHeldUp,
    events.ArchiveHeldUp,
    events.UnknownTypeSeen,
    events.UntakenMessageSeen,
    events.MissingTopicSeen,
    events.ConfigurationIgnored,
    events.StepFailed,
    events.LoopRestarted,
    events.JobFailed,
    events.JobFailedOver,
    events.JobFenced,
)
_LEVELS: dict[type[Event], int] = {
    **dict.fromkeys(_QUIET, logging.DEBUG),
    **dict.fromkeys(_LOUD, logging.WARNING),
    events.TaskFailed: logging.ERROR,
    events.JobStopped: logging.ERROR,
}
_OF_A_TASK = (events.AttemptFailed, events.HandlerFailedLate)
_OF_A_LIFE = (events.SchedulerStarted, events.SchedulerStopped)
_SERVERS = ("gunicorn.error", "uvicorn.error", "hypercorn.error")  # the logs in which servers tell of their own lives
_MOST_REMEMBERED = 10_000
_MOST_LISTED = 8
_MORE = " (there are more of this type than are told: the others are DEBUG)"
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


class EventLog(ForksNothing):
    """Be the hook that writes each event as one line: a sentence, and in brackets the event's name and its fields.

    What happens all the time is DEBUG, changes of state INFO, what somebody may have to look at WARNING, a dead
    letter ERROR. Of a trouble that lasts, such as a database that is away, each loop tells once, and what repeats it
    is DEBUG; so are retries of one type beyond a hundred at once and ten a second. What a handler raised goes to
    ``asyncflow.tasks.TYPE``, with its traceback. The event itself is in the record's ``event`` attribute, for
    structured handlers. A scheduler has one, unless its hooks have. Inside a web server, where nobody has set up
    logging, the lines of a scheduler's start and end stand in the server's own log.

    Events come on every thread. Without a lock: the failures that were told of are kept by the id of a task and the
    number of an attempt, which one thread settles, and of two that drop the oldest at once each drops one.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("asyncflow")
        self._repeats = Repeats()
        self._told: OrderedDict[tuple[UUID, int], None] = OrderedDict()  # attempts whose failure has its line

    def takes(self, kind: type[Event]) -> bool | Gate:
        """Take what happens all the time where DEBUG is wanted, and all else; what is made of it is its own affair."""
        is_as_written = type(self).__call__ is EventLog.__call__
        return partial(self._logger.isEnabledFor, logging.DEBUG) if is_as_written and kind in _QUIET else True

    def __call__(self, event: Event) -> None:
        """Log the event."""
        level, more = self._level_of(event), ""
        if level == logging.WARNING and isinstance(event, events.TaskRetried):
            level, more = self._of_a_crowd(event)
        logger = self._logger_of(event)
        if logger.isEnabledFor(level):
            error = getattr(event, "error", None)
            trace = _traced(error) if isinstance(error, BaseException) else None
            if isinstance(event, events.StepFailed) and is_expected(event.error):
                trace = None
            with Leash():  # what stands behind a logger is the application's
                logger.log(level, "%s%s", line_of(event), more, extra={"event": event}, exc_info=trace)

    def _of_a_crowd(self, event: events.TaskRetried) -> tuple[int, str]:
        """Return the level of a retry, and what its line tells besides."""
        room = self._repeats.room_in(event.task_type)
        return (logging.WARNING if room else logging.DEBUG), (_MORE if room == 1 else "")

    def _logger_of(self, event: Event) -> logging.Logger:
        if isinstance(event, _OF_A_TASK):
            return self._logger.getChild(f"tasks.{event.task_type}")
        return _server_log(self._logger) or self._logger if isinstance(event, _OF_A_LIFE) else self._logger

    def _level_of(self, event: Event) -> int:
        if type(event) in _QUIET:
            return logging.DEBUG
        if isinstance(event, events.AttemptFailed):
            self._told[event.task_id, event.attempt] = None
            while len(self._told) > _MOST_REMEMBERED:
                self._told.popitem(last=False)
        if isinstance(event, events.TaskRetried) and (event.task_id, event.retry_count) in self._told:
            self._told.pop((event.task_id, event.retry_count), None)
            return logging.DEBUG
        return logging.DEBUG if self._repeats.take_in(event) else level_of(event)


class LoggedHooks(Hooks):
    """Hand events to hooks and to the log; an EventLog among the hooks takes the place of our own."""

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        self._own: EventLog | None = None
        super().__init__(hooks)
        if not any(isinstance(hook, EventLog) for hook in self):
            own = EventLog()
            self.add(own)
            self._own = own

    def add(self, hook: Hook) -> None:
        """Hand all further events to ``hook`` as well."""
        if isinstance(hook, EventLog) and self._own is not None:
            self.remove(self._own)
            self._own = None
        super().add(hook)


def level_of(event: Event) -> int:
    """Return the logging level of an event."""
    level = _LEVELS.get(type(event))
    if level is not None:
        return level
    match event:
        case events.BreakerChanged(state="open"):
            return logging.WARNING
        case events.OwnershipChanged() if event.lost:
            return logging.WARNING
        case events.SchedulerStopped(clean=False) | events.WorkerStopped(clean=False):
            return logging.WARNING
    return logging.INFO


def line_of(event: Event) -> str:
    """Return ``Sentence [EventName field=value …]``, without fields that are empty; times with three digits.

    What a terminal would act on or hide is escaped: names and errors may have come from anywhere.
    """
    fields = ((field.name, getattr(event, field.name)) for field in dataclasses.fields(event))
    told = (f"{name}={_shown(value)}" for name, value in fields if value is not None and value not in ("", ()))
    return printable(f"{sentence_of(event)} [{' '.join([type(event).__name__, *told])}]")


def _server_log(logger: logging.Logger) -> logging.Logger | None:
    """Return the log of the web server around us where nobody has set up logging: that of nobody else is seen there."""
    if logger.level != logging.NOTSET or logger.hasHandlers():
        return None
    there = (logging.Logger.manager.loggerDict.get(name) for name in _SERVERS)
    return next((log for log in there if isinstance(log, logging.Logger) and log.hasHandlers()), None)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, BaseException):
        return _quoted(f"{type(value).__name__}: {_text_of(value)}"[:300])
    if isinstance(value, tuple):
        return _listed(value)
    return _quoted(value) if isinstance(value, str) else str(value)


def _listed(values: tuple[Any, ...]) -> str:
    if len(values) > _MOST_LISTED:
        return f"{len(values)}-of-them"
    return ",".join(f"{one[0]}:{one[1]}" if isinstance(one, tuple) else str(one) for one in values)


def _text_of(error: BaseException) -> str:
    try:
        return " ".join(without_parameters(str(error)).split())
    except Exception:  # noqa: BLE001 - an error that cannot be printed is still an error
        return "(it cannot be printed)"


def _quoted(text: str) -> str:
    is_plain = text.isprintable() and text != "" and not any(sign in text for sign in " []")
    return text if is_plain else repr(text)


def _traced(error: BaseException) -> Any:
    """Return what logging takes for a traceback, which begins where the user's code does; None without one.

    A database or service that is away is told by its message; so is what a handler says on purpose. None tells the
    parameters of SQL.
    """
    is_away = type(error).__module__.startswith("sqlalchemy") and kind_of(error) == AWAY
    if is_away or isinstance(error, TaskServiceError):
        return None
    if isinstance(error, HandlerSignal) and error.__cause__ is None:
        return None
    hide_parameters(error)
    return type(error), error, _from_users_code(error.__traceback__)


def _from_users_code(trace: TracebackType | None) -> TracebackType | None:
    inner = trace
    while inner is not None and inner.tb_frame.f_code.co_filename.startswith(_OURS):
        inner = inner.tb_next
    return inner or trace
