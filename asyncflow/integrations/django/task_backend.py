"""A backend for Django's own tasks (DEP 14): what ``@task`` enqueues is a row of Django's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any
from uuid import UUID

import orjson
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from asyncflow.errors import MissingExtraError
from asyncflow.integrations.django.borrowed import current_transaction
from asyncflow.integrations.django.outbox import DjangoOutbox
from asyncflow.outbox import Call, Status
from asyncflow.outbox.outcome.results import Done
from asyncflow.scheduler.operator.queries import whole
from asyncflow.scheduler.worker.task_context import TaskContext

_NAMES = ("outbox", "task_options", "queues")


def _library() -> str:
    """Return the name of the package that has ``@task``: Django's from 6.0 on, or its backport."""
    for name in ("django.tasks", "django_tasks"):
        try:
            return import_module(name).__name__
        except ImportError:
            continue
    raise MissingExtraError("Django's tasks came with Django 6.0; for an older one: pip install django-tasks")


_NAME = _library()
_base: Any = import_module(f"{_NAME}.base")
_backends: Any = import_module(f"{_NAME}.backends.base")
_exceptions: Any = import_module(f"{_NAME}.exceptions")
_signals: Any = import_module(f"{_NAME}.signals")
_InvalidTask: Any = getattr(_exceptions, "InvalidTask", None) or _exceptions.InvalidTaskError
_READY, _RUNNING = _base.TaskResultStatus.READY, _base.TaskResultStatus.RUNNING
_SUCCESSFUL, _FAILED = _base.TaskResultStatus.SUCCESSFUL, _base.TaskResultStatus.FAILED
_STATUSES = {Status.PENDING: _READY, Status.PROCESSING: _RUNNING, Status.SUCCESS: _SUCCESSFUL}  # FAILED otherwise


class OutboxTaskBackend(_backends.BaseTaskBackend):
    """Be the BACKEND of an entry of TASKS; each of its QUEUES is a task type, ``django.`` and the queue's name.

    OPTIONS: ``outbox``, the path of the project's DjangoOutbox, by default one of the backend's own; ``task_options``,
    those of ``outbox.task()`` for every queue; ``queues``, more of them by a queue's name.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self._require_sound()

    @property
    def outbox(self) -> DjangoOutbox:
        """Return the outbox, in which the queues are declared; not before the applications are loaded."""
        ours: Any = apps.get_app_config("asyncflow")
        outbox: DjangoOutbox = ours.outbox_of_tasks(self.alias, self._declared)
        return outbox

    def _declared(self) -> DjangoOutbox:
        path = self.options.get("outbox")
        outbox = DjangoOutbox() if path is None else import_string(path)
        if not isinstance(outbox, DjangoOutbox):
            raise ImproperlyConfigured(f"{self._place('outbox')} is {path!r}, which is no DjangoOutbox")
        for queue in sorted(self.queues):
            own = self.options.get("queues", {}).get(queue, {})
            options = {"keep_result": True, **self.options.get("task_options", {}), **own}
            outbox.task(_type_of(queue), **options)(self._perform)
        return outbox

    def validate_task(self, task: Any) -> None:
        """Refuse what the outbox cannot do as well."""
        super().validate_task(task)
        if task.priority < 0:
            raise _InvalidTask(
                f"priority is {task.priority}; give 0 or more: that of a task is the seconds by which it goes ahead"
            )

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Write the task into the transaction that ``atomic`` has begun, or into one of its own."""
        self.validate_task(task)
        result = _base.TaskResult(
            task=task,
            id="",
            status=_READY,
            enqueued_at=timezone.now(),
            started_at=None,
            last_attempted_at=None,
            finished_at=None,
            args=list(args),
            kwargs=dict(kwargs),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        arguments = {"path": task.module_path, "args": result.args, "kwargs": result.kwargs}
        call = Call(arguments, priority=task.priority, run_at=task.run_after)
        outbox = self.outbox
        with transaction.atomic(using=outbox.using):
            task_id = outbox.enqueue_once(current_transaction(outbox.using), _type_of(task.queue_name), call).id
        result = replace(result, id=str(task_id))
        _signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Read how a task stands; raises TaskResultDoesNotExist once it is deleted, after its retention."""
        with transaction.atomic(using=self.outbox.using):
            return self._read(_id_of(result_id))

    def _read(self, task_id: UUID) -> Any:
        outbox = self.outbox
        here = current_transaction(outbox.using)
        row = here.execute(whole(outbox.tasks, outbox.contexts, task_id)).one_or_none()
        queue = "" if row is None else row.task_type.removeprefix(_type_of(""))
        if row is None or queue not in self.queues:
            raise _exceptions.TaskResultDoesNotExist(str(task_id))
        result = self._result_of(row, queue)
        if result.status == _SUCCESSFUL:
            outcome = outbox.result(here, task_id)
            object.__setattr__(result, "_return_value", outcome.value if isinstance(outcome, Done) else None)
        return result

    def _result_of(self, row: Any, queue: str) -> Any:
        opened = self.outbox.encryption.open(row.id, row.task_type, row.task_key, row.headers, row.payload)
        arguments = orjson.loads(opened.payload)
        status = _STATUSES.get(Status(row.status), _FAILED)
        changed_at = row.modified_at if row.retry_count else None
        return _base.TaskResult(
            task=_task_at(arguments["path"], queue, self.alias),
            id=str(row.id),
            status=status,
            enqueued_at=row.created_at,
            started_at=changed_at,
            last_attempted_at=changed_at,
            finished_at=row.order_time if status in (_SUCCESSFUL, _FAILED) else None,
            args=arguments["args"],
            kwargs=arguments["kwargs"],
            backend=self.alias,
            errors=_errors_of(row.schedule_log) if status == _FAILED else [],
            worker_ids=[row.owner or ""] * row.retry_count,
        )

    def _perform(self, ctx: TaskContext, path: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Call the function of a task; what it raises is retried as the queue's options say."""
        task = _task_at(path, ctx.task_type.removeprefix(_type_of("")), self.alias)
        result = self.get_result(str(ctx.id))
        _signals.task_started.send(type(self), task_result=result)
        first = [_base.TaskContext(task_result=result)] if task.takes_context else []
        returned = task.call(*first, *args, **kwargs)
        object.__setattr__(result, "status", _SUCCESSFUL)
        object.__setattr__(result, "_return_value", returned)
        _signals.task_finished.send(type(self), task_result=result)
        return returned

    def _require_sound(self) -> None:
        if not self.queues:
            raise ImproperlyConfigured(f"TASKS[{self.alias!r}]['QUEUES'] is empty; name the queues that are worked on")
        if unknown := sorted(self.options.keys() - set(_NAMES)):
            raise ImproperlyConfigured(f"{self._place(unknown[0])} is unknown; there are {', '.join(_NAMES)}")
        if strange := sorted(self.options.get("queues", {}).keys() - self.queues):
            raise ImproperlyConfigured(f"{self._place('queues')} has {strange[0]!r}, which is not among QUEUES")

    def _place(self, name: str) -> str:
        return f"TASKS[{self.alias!r}]['OPTIONS'][{name!r}]"


def declare_queues(aliases: Iterable[str]) -> None:
    """Declare the queues of these entries of TASKS, so that a scheduler works on them."""
    task_backends: Any = import_module(_NAME).task_backends
    for alias in aliases:
        _ = task_backends[alias].outbox


def _type_of(queue: str) -> str:
    return f"django.{queue}"


def _id_of(result_id: str) -> UUID:
    try:
        return UUID(result_id)
    except ValueError as error:
        raise _exceptions.TaskResultDoesNotExist(result_id) from error


def _task_at(path: str, queue: str, alias: str) -> Any:
    """Return the task of a function, whatever name its module has for it."""
    task = import_string(path)
    return task.using(queue_name=queue, backend=alias)


def _errors_of(log: str | None) -> list[Any]:
    """Return the errors that a row remembers, of which the log keeps the names and not the classes."""
    lines = [line for line in (log or "").splitlines() if line]
    return [_base.TaskError(exception_class_path="builtins.Exception", traceback=line) for line in lines]
