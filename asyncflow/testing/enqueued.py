"""Which tasks wait, as the test's own transaction sees them."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload
from uuid import UUID

import orjson
from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from asyncflow.outbox import HandlerType, Outbox
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.message import CONTENT_TYPE
from asyncflow.outbox.payload import encode_argument
from asyncflow.outbox.task import headers_of
from asyncflow.testing import queries
from asyncflow.testing.outboxes import DeclaredType, kind_of, outbox_of
from asyncflow.testing.sessions import in_session
from asyncflow.text import shown

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueuedTask:
    """Tell of one task that waits; ``arguments`` are those of its handler, or the fields of a message."""

    id: UUID
    task_type: str
    key: str | None
    arguments: Mapping[str, Any]  # as the handler gets them; empty for a payload that is no JSON object
    payload: bytes | None
    headers: Mapping[str, str]
    priority: int  # seconds
    delay_seconds: float  # until it is due; 0 for one that is
    retry_count: int

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        key = f" key={self.key!r}" if self.key else ""
        later = f" in {self.delay_seconds:.1f} s" if self.delay_seconds else ""
        return f"{self.task_type}({told}){key}{later}"


@overload
def enqueued(
    session: Session | scoped_session[Any] | Connection, task: Any = None, *, outbox: Outbox | None = None
) -> list[EnqueuedTask]: ...


@overload
def enqueued(
    session: AsyncSession, task: Any = None, *, outbox: Outbox | None = None
) -> Coroutine[Any, Any, list[EnqueuedTask]]: ...


def enqueued(session: Any, task: Any = None, *, outbox: Outbox | None = None) -> Any:
    """Return the PENDING tasks that the session sees, in the order in which they are taken; by ``task``, of its type.

    What the session holds is flushed; nothing is committed. Of an AsyncSession it is awaited. Raises OptionError if it
    is not clear which ``outbox`` is meant, UnknownTaskTypeError, WrongTargetError or NotTransactionalError.
    """
    its = outbox_of(task, outbox)
    name = None if task is None else kind_of(its, task).name
    return in_session(session, its.tasks, lambda connection: read_enqueued(connection, its, name))


@overload
def assert_enqueued(
    session: Session | scoped_session[Any] | Connection, task: Any, /, *, outbox: Outbox | None = None, **expected: Any
) -> EnqueuedTask: ...


@overload
def assert_enqueued(
    session: AsyncSession, task: Any, /, *, outbox: Outbox | None = None, **expected: Any
) -> Coroutine[Any, Any, EnqueuedTask]: ...


def assert_enqueued(session: Any, task: Any, /, *, outbox: Outbox | None = None, **expected: Any) -> Any:
    """Return the first task that waits and has what is ``expected``; raises AssertionError, telling what waits.

    ``task`` is a handler, or the name of a type. Expected are arguments of the handler or fields of the payload, and,
    as ``enqueue`` calls them, ``key``, ``headers`` and ``priority``; what is not named may be anything. Of an
    AsyncSession it is awaited. Raises what ``enqueued`` raises.
    """
    its = outbox_of(task, outbox)
    kind = kind_of(its, task)

    def look(connection: Connection) -> EnqueuedTask:
        waiting = read_enqueued(connection, its, None)
        for one in waiting:
            if one.task_type == kind.name and all(_is(one, name, value) for name, value in expected.items()):
                return one
        raise AssertionError(_told(kind, expected, waiting))

    return in_session(session, its.tasks, look)


def read_enqueued(connection: Connection, outbox: Outbox, name: str | None) -> list[EnqueuedTask]:
    """Read the tasks that wait, all or of one type."""
    rows = connection.execute(queries.waiting(outbox.tasks))
    return [_task_of(row, outbox) for row in rows if name is None or row.task_type == name]


def _task_of(row: Any, outbox: Outbox) -> EnqueuedTask:
    payload, headers = row.payload, row.headers
    if is_encrypted(headers):
        payload, headers = outbox.encryption.open(row.raw_id, row.task_type, row.task_key, headers, payload)
    return EnqueuedTask(
        id=row.id,
        task_type=row.task_type,
        key=row.task_key,
        arguments=_arguments(payload, headers, outbox.handler_types.get(row.task_type)),
        payload=payload,
        headers=headers_of(row.headers),
        priority=row.priority,
        delay_seconds=max(0.0, row.due_in_seconds),
        retry_count=row.retry_count,
    )


def _arguments(payload: bytes | None, headers: str | None, kind: HandlerType | None) -> Mapping[str, Any]:
    if payload is None or f'"{CONTENT_TYPE}":' in (headers or ""):
        return {}
    read = orjson.loads(payload)
    if not isinstance(read, dict):
        return {}
    return read if kind is None or kind.signature is None else kind.signature.revive(read)


def _is(one: EnqueuedTask, name: str, expected: Any) -> bool:
    if name in ("key", "headers", "priority"):
        return bool(getattr(one, name) == expected)
    value = one.arguments.get(name, _ABSENT)
    return value is not _ABSENT and (value == expected or _as_json(value) == _as_json(expected))


def _as_json(value: Any) -> Any:
    try:
        return orjson.loads(encode_argument(value))
    except ValueError:  # what cannot be written is equal to nothing that was
        return value


def _told(kind: DeclaredType, expected: Mapping[str, Any], waiting: list[EnqueuedTask]) -> str:
    wanted = ", ".join(f"{name}={shown(value)}" for name, value in expected.items())
    others = "".join(f"\n  {one}" for one in waiting) or "\n  (none)"
    return f"no task {kind.name}({wanted}) is enqueued; these are:{others}"
