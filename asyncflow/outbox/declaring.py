"""Declarations: what an outbox is told of messages, handlers and periodic tasks before anything is written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, overload

from asyncflow.errors import OptionError
from asyncflow.outbox.declarations.around import Around, AroundFactory
from asyncflow.outbox.declarations.cloud_events import CloudEvents, require_events
from asyncflow.outbox.declarations.handler_type import Handled, HandlerType, HandlerTypes, function_of
from asyncflow.outbox.declarations.option_types import HandlerOptions, MessageOptions, PeriodicOptions
from asyncflow.outbox.declarations.periodic_task import DUE_TIME, PeriodicTask
from asyncflow.outbox.declarations.task_type import MessageType, TaskTypes
from asyncflow.outbox.dedupe import Enqueued
from asyncflow.outbox.encryption.encryption import Encryption
from asyncflow.outbox.message import Call, Door, Message, call_row_of
from asyncflow.outbox.options import field_names, refuse_unknown
from asyncflow.outbox.task_function import ContextT, Declare, P, R, SessionT, TaskFunction
from asyncflow.text import shown

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asyncflow.outbox.declarations.handler_type import Enclose

_TYPE_OPTIONS = field_names(MessageType, but=("name",))
_HANDLER_OPTIONS = field_names(HandlerType, but=("name",))
_PERIODIC_OPTIONS = field_names(PeriodicTask, but=("task_type", "cron"))
_EACH_TASK = "it goes with each task: task.options({0}=...).enqueue(session, ...)"
_EACH_MESSAGE = "it goes with each message: outbox.publish(session, type, payload, {0}=...)"
_OF_TASKS = {
    **{name: _EACH_TASK.format(name) for name in field_names(Call, but=("arguments",))},
    **dict.fromkeys(_TYPE_OPTIONS, "it is of outbox.message()"),
    **dict.fromkeys(("cron", "schedule", "crontab"), "outbox.periodic(task, '0 3 * * *') declares when"),
    **dict.fromkeys(("timeout", "time_limit", "soft_time_limit"), "it is max_processing_time_seconds here"),
    **dict.fromkeys(("autoretry_for", "retry_when"), "each error is tried again; raise RejectTask for one that is not"),
    "rate_limit": "handlers are bounded by concurrency and interval_seconds",
    **dict.fromkeys(("acks_late", "reject_on_worker_lost"), "it is always so here"),
    **dict.fromkeys(("default_retry_delay", "min_backoff", "retry_delay"), "it is retry_interval_seconds here"),
    **dict.fromkeys(("retry_backoff_max", "max_backoff"), "it is max_retry_interval_seconds here"),
    "retry_backoff": "it is retry_factor here",
    "ignore_result": "results are kept with keep_result=True alone",
    "bind": "a parameter that is called ctx is given the TaskContext",
    "name": "the name comes first: outbox.task('name')",
}
_OF_MESSAGES = {
    **dict.fromkeys(_HANDLER_OPTIONS, "it is of outbox.task()"),
    **{name: _EACH_MESSAGE.format(name) for name in field_names(Message, but=("payload",))},
    "name": "the name comes first: outbox.message('name')",
}


class Declaring(ABC):
    """Hold what an application declares, as the base of its outbox; complete before any thread uses that."""

    encryption: Encryption

    def __init__(
        self,
        door: Door,
        default_destination: str,
        around: Iterable[AroundFactory],
        transaction: Enclose | None,
        cloudevents: CloudEvents | None,
    ) -> None:
        require_events(cloudevents)
        self.default_destination = default_destination
        self.cloudevents = cloudevents
        self.task_types: TaskTypes[MessageType] = TaskTypes("publish()", "outbox.message")
        self.handler_types = HandlerTypes("enqueue()", "outbox.task")
        self.task_types.share_names_with(self.handler_types)
        self.periodic_tasks: dict[str, PeriodicTask] = {}
        self.around = Around(around, lambda: self.handler_types.values())
        self._transaction = transaction
        self._door = door

    @abstractmethod
    def enqueue_once(self, target: Any, task: Any, call: Call) -> Enqueued:
        """Add a call of what is declared to the caller's transaction."""

    @abstractmethod
    async def enqueue_once_async(self, session: Any, task: Any, call: Call) -> Enqueued:
        """Do so in an AsyncSession."""

    def message(self, task_type: str, **options: Unpack[MessageOptions]) -> MessageType:
        """Declare a task type whose tasks are published.

        Options: ``destination`` (a publisher's name), ``topic`` (the type's name), ``max_retries`` (10),
        ``retry_interval_seconds`` (1), ``max_retry_interval_seconds`` (10), ``retry_factor`` (2), ``retry_jitter``
        (0), ``rate_limit_per_second`` (None), ``ordered`` (False), ``when_exhausted`` ("block"), ``coalesce`` (False),
        ``limit`` (None), ``cloudevents`` and ``encryption`` (those of the outbox), ``captured`` (False), ``enabled``
        (True). As a decorator it takes the function ``(session, tasks) -> payloads`` that builds payloads when they
        are sent.

        Raises InvalidTaskTypeError, DuplicateTaskTypeError, OptionError or UnknownOptionError.
        """
        refuse_unknown("message()", options, _TYPE_OPTIONS, _OF_MESSAGES)
        options.setdefault("destination", self.default_destination)
        options.setdefault("topic", task_type)
        options.setdefault("cloudevents", self.cloudevents)
        kind = MessageType(name=task_type, **options)
        self.encryption.require_possible(kind)
        return self.task_types.declare(kind)

    @overload
    def task(
        self, handler: Callable[Concatenate[ContextT, SessionT, P], R], /
    ) -> TaskFunction[Concatenate[ContextT, SessionT, P], P, R]: ...

    @overload
    def task(
        self, handler: Callable[Concatenate[SessionT, ContextT, P], R], /
    ) -> TaskFunction[Concatenate[SessionT, ContextT, P], P, R]: ...

    @overload
    def task(
        self, handler: Callable[Concatenate[ContextT, P], R], /
    ) -> TaskFunction[Concatenate[ContextT, P], P, R]: ...

    @overload
    def task(
        self, handler: Callable[Concatenate[SessionT, P], R], /
    ) -> TaskFunction[Concatenate[SessionT, P], P, R]: ...

    @overload
    def task(self, handler: Callable[P, R], /) -> TaskFunction[P, P, R]: ...

    @overload
    def task(self, task_type: str, **options: Unpack[HandlerOptions]) -> HandlerType: ...

    @overload
    def task(self, **options: Unpack[HandlerOptions]) -> Declare: ...

    def task(self, task_type: Any = None, **options: Any) -> Any:
        """Declare a task type whose tasks a function or coroutine of this application handles.

        What it returns is called as the function is, and has ``enqueue`` and ``options`` with the function's own
        arguments. ``@outbox.task(...)`` takes the function's name, ``@outbox.task("name", ...)`` another; without a
        function behind it, ``outbox.task("name")`` declares a type that is worked elsewhere. Options: the fields of
        HandlerType.

        A coroutine runs on the event loop of an AsyncScheduler, or on one of the scheduler's own. There an AsyncEngine
        that another loop of the process uses refuses it, by EventLoopError: give it one of its own.

        Raises InvalidTaskTypeError, DuplicateTaskTypeError, OptionError or UnknownOptionError.
        """
        refuse_unknown("task()", options, _HANDLER_OPTIONS, _OF_TASKS)
        if callable(task_type):
            return self.task(**options)(task_type)
        if task_type is not None:
            return self._declared(HandlerType(name=task_type, **self._of_outbox, **options))

        def declare(given: Any) -> Any:
            handler = function_of(given)
            name = getattr(handler, "__name__", None)
            if name in (None, "<lambda>"):
                raise OptionError(f"the handler {shown(handler)} has no name; use outbox.task('name')(handler)")
            kind = HandlerType(name=name, handler=handler, **self._of_outbox, **options)
            return self._function_of(self._declared(kind).name, handler)

        return declare

    def periodic(self, task: Handled, cron: str, **options: Unpack[PeriodicOptions]) -> PeriodicTask:
        """Enqueue ``task``, a handler or the name of its type, whenever a crontab line says so, once for all instances.

        Options: ``timezone`` ("UTC"), ``arguments`` of each task, ``misfire`` ("once") and ``grace_seconds`` (60) for
        due times that were missed, ``name`` (that of the type), by which the database knows it. Each task has the
        header ``due-time``.

        Raises OptionError, UnknownOptionError or, as ``enqueue``, a RefusedError.
        """
        refuse_unknown("periodic()", options, _PERIODIC_OPTIONS)
        task_type = self.handler_types.require(task)
        given: Any = {"name": task_type.name, **options}
        declared = PeriodicTask(task_type=task_type.name, cron=cron, **given)
        call_row_of(checked(Call(declared.arguments, headers={DUE_TIME: ""}), task_type), task_type, self._door)
        if self.periodic_tasks.setdefault(declared.name, declared) is not declared:
            raise OptionError(
                f"a periodic task {declared.name!r} is declared already; give each a name of its own: name="
            )
        return declared

    def _declared(self, kind: HandlerType) -> HandlerType:
        self.encryption.require_possible(kind)
        return self.handler_types.declare(kind)

    @property
    def _of_outbox(self) -> dict[str, Any]:
        """Return what every handler type has of the outbox in which it is declared."""
        return {"wrap": self._function_of, "around": self.around, "enclose": self._transaction}

    def _function_of(self, name: str, handler: Callable[..., R]) -> TaskFunction[..., ..., R]:
        return TaskFunction(name, handler, self)


def checked(call: Call, task_type: HandlerType) -> Call:
    """Return the call with its arguments as they are written; raises InvalidArgumentsError."""
    arguments = task_type.check(call.arguments)
    return call if arguments is call.arguments else replace(call, arguments=arguments)
