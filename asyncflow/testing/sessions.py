"""The test's own session, and the connection of its transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from asyncflow.outbox.queries import insert_task
from asyncflow.outbox.transaction.target import async_session_of, connection_of, is_async, target_of

T = TypeVar("T")


def in_session(given: Any, tasks: Table, work: Callable[[Connection], T]) -> Any:
    """Flush, then do ``work`` on the connection where the session keeps its tasks; of an AsyncSession it is awaited.

    Raises WrongTargetError or NotTransactionalError.
    """
    if is_async(given):
        return async_session_of(given).run_sync(lambda session: work(flushed(session, tasks)))
    return work(flushed(target_of(given), tasks))


def flushed(target: Session | Connection, tasks: Table) -> Connection:
    """Return the connection, on which all is written that the session holds."""
    if isinstance(target, Session):
        target.flush()
    return connection_of(target, insert_task(tasks))


def forget_read(target: Session | Connection, *, at_once: bool) -> None:
    """Let the session see what others have written on its connection; ``at_once`` reads it, where nobody may later."""
    if not isinstance(target, Session):
        return
    if not at_once:
        target.expire_all()
        return
    for row in list(target.identity_map.values()):
        try:
            target.refresh(row)
        except InvalidRequestError:  # it was deleted
            target.expire(row)
