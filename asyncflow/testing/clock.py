"""The database's clock cannot be set, so the times in its rows are: what waits is due that much earlier."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from asyncflow.outbox import Outbox
from asyncflow.outbox.options import require_seconds
from asyncflow.testing import queries
from asyncflow.testing.outboxes import outbox_of
from asyncflow.testing.sessions import in_session

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


@overload
def advance(
    session: Session | scoped_session[Any] | Connection, seconds: float, *, outbox: Outbox | None = None
) -> None: ...


@overload
def advance(session: AsyncSession, seconds: float, *, outbox: Outbox | None = None) -> Coroutine[Any, Any, None]: ...


def advance(session: Any, seconds: float, *, outbox: Outbox | None = None) -> Any:
    """Let ``seconds`` pass for all tasks that the session sees; of an AsyncSession it is awaited.

    Delays, retries, the due times of periodic tasks and the age of idempotency keys move by them; leases of schedulers
    do not. Raises OptionError for seconds that are negative or too many, or if it is not clear which outbox is meant.
    """
    require_seconds("seconds", seconds, 0)
    its, passed = outbox_of(None, outbox), timedelta(seconds=seconds)
    return in_session(session, its.tasks, lambda connection: _pass(connection, its, passed))


def _pass(connection: Connection, outbox: Outbox, passed: timedelta) -> None:
    for table in (outbox.tasks, outbox.periodic_entries, outbox.parked_keys, outbox.dedupe_entries):
        connection.execute(queries.let_pass(table), {"passed": passed})
