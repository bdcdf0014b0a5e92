"""Payloads made when they are sent: one call of a message builder for all tasks of its type in a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from sqlalchemy import Engine

from asyncflow.errors import BuilderError, ConnectionSilentError, PayloadNotSerializableError
from asyncflow.events import BuilderFailed, Hooks
from asyncflow.leash import Leash, may_go_on
from asyncflow.outbox import payload as payloads
from asyncflow.outbox.declarations.cloud_events import SPARE_BYTES
from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.message import event_bytes, size_of
from asyncflow.outbox.task import Task
from asyncflow.scheduler.connections.calls import Patience, ThreadCalls, WatchedSession
from asyncflow.scheduler.connections.moves import end_left_ones, leaving
from asyncflow.scheduler.publishing.publisher import Rejected, Retry
from asyncflow.text import a_type_of, told


class Body(NamedTuple):
    """Hold a payload as it travels."""

    content: bytes
    content_type: str


Built = Body | Rejected | Retry


class Site(NamedTuple):
    """Hold what all builders of one relay work with; ``patience`` with statements of which nothing comes."""

    engine: Engine
    max_bytes: int
    hooks: Hooks
    patience: Patience


def build(site: Site, task_type: MessageType, tasks: Sequence[Task]) -> list[Built]:
    """Return for each task its payload, or why it has none.

    A builder that raises is asked again for each task alone, so that one task's fault stays its own; not where the
    database said nothing, which is no task's fault.
    """
    try:
        built = _call(site, task_type, tasks)
    except BaseException as error:  # user code; the error goes into the task's log
        if not may_go_on(error):
            raise
        site.hooks.emit(BuilderFailed(task_type.name, len(tasks), error))
        if len(tasks) == 1 or isinstance(error, ConnectionSilentError):
            return [failed(error)] * len(tasks)
        return [build(site, task_type, [task])[0] for task in tasks]
    return [encoded(payload, task, task_type, site.max_bytes) for payload, task in zip(built, tasks, strict=True)]


def _call(site: Site, task_type: MessageType, tasks: Sequence[Task]) -> list[Any]:
    if (builder := task_type.builder) is None:
        raise BuilderError(f"the task type {task_type.name!r} has no builder; decorate one with its declaration")
    # Closed before the broker is called: no transaction is held across it.
    engine = site.engine
    end_left_ones(engine)
    with (
        ThreadCalls(engine, site.patience) as calls,
        WatchedSession(engine, calls=calls) as session,
        leaving(session, engine),
        calls.handed_out(),
        Leash(),
    ):
        returned: Any = builder(session, tasks)
        if isinstance(returned, (str, bytes, Mapping, Set)):
            raise BuilderError(
                f"the builder of {task_type.name!r} returned {a_type_of(returned)}, which is not one payload for each "
                f"task, in order; return a list"
            )
        built = list(returned)
    if len(built) != len(tasks):
        raise BuilderError(
            f"the builder of {task_type.name!r} returned {len(built)} payloads for {len(tasks)} tasks; "
            f"return one for each, in order, None where the row is gone"
        )
    return built


def encoded(payload: Any, task: Task, task_type: MessageType, max_bytes: int) -> Built:
    """Return what the builder made as it travels, or why it cannot."""
    if payload is None:
        return Rejected(f"the builder of {task_type.name!r} found no payload: the business row is gone")
    if isinstance(payload, Exception):
        return failed(payload)
    try:
        body = Body(*payloads.encode(payload))
    except PayloadNotSerializableError as error:
        return Rejected(str(error))
    except Exception as error:  # noqa: BLE001 - a model's own code runs in there
        return failed(error)
    size = size_of(body.content, task.key, task.headers_json)
    size += event_bytes(task_type, body.content, task.key, task.headers_json)
    if size > max_bytes + (SPARE_BYTES if task.headers_json else 0):  # some may have been added by hooks
        return Rejected(
            f"the builder of {task_type.name!r} made {len(body.content)} bytes; the limit is {max_bytes}, for key and "
            f"headers as well"
        )
    return body


def failed(error: BaseException) -> Retry:
    """Return the outcome of a builder that raised."""
    return Retry(told(error))
