"""All that is due, done in the test's own transaction and thread, without a scheduler."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from asyncflow.errors import UnroutedDestinationError
from asyncflow.outbox import Outbox
from asyncflow.outbox.transaction.target import async_session_of, is_async, target_of
from asyncflow.scheduler.drained import Drained
from asyncflow.scheduler.publishing.publisher import Publisher
from asyncflow.testing.attempts import Attempts
from asyncflow.testing.calls import AsyncCalls, Calls
from asyncflow.testing.deliveries import Deliveries
from asyncflow.testing.memory_publisher import MemoryPublisher
from asyncflow.testing.outboxes import outbox_of
from asyncflow.testing.rows import Rows
from asyncflow.testing.sessions import flushed, forget_read

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    Publishers = Publisher | Mapping[str, Publisher] | None


@overload
def drain(
    session: Session | scoped_session[Any] | Connection,
    publishers: Publishers = None,
    *,
    raise_errors: bool = True,
    outbox: Outbox | None = None,
) -> Drained: ...


@overload
def drain(
    session: AsyncSession,
    publishers: Publishers = None,
    *,
    raise_errors: bool = True,
    outbox: Outbox | None = None,
) -> Coroutine[Any, Any, Drained]: ...


def drain(
    session: Any,
    publishers: Publishers = None,
    *,
    raise_errors: bool = True,
    outbox: Outbox | None = None,
) -> Any:
    """Do all tasks that are due, and those that they enqueue, in the session's own transaction; tell what was done.

    Handlers run in this thread, a transactional one in a savepoint; of an AsyncSession this is awaited, and coroutines
    run on its loop. Messages go to ``publishers``: one for all destinations, or a mapping; by default a
    MemoryPublisher. Nothing is committed. What is to be tried again after a pause, however short, waits for it:
    ``advance`` the time.

    When all is done, the first error of an attempt is raised, unless ``raise_errors`` is False. Raises OptionError if
    it is not clear which ``outbox`` is meant, UnroutedDestinationError, WrongTargetError or NotTransactionalError.
    """
    its = outbox_of(None, outbox)
    routes = _routes(its, publishers)
    if is_async(session):
        return _drain_async(async_session_of(session), its, routes, raise_errors)
    target = target_of(session)
    connection = flushed(target, its.tasks)
    drained = _drain(connection, its, routes, Calls(connection))
    forget_read(target, at_once=False)
    return _told(drained, raise_errors)


async def _drain_async(
    session: AsyncSession, outbox: Outbox, routes: Mapping[str, Publisher], raise_errors: bool
) -> Drained:
    await session.run_sync(lambda sync: flushed(sync, outbox.tasks))
    calls = AsyncCalls(await session.connection(bind_arguments={"clause": outbox.tasks}))

    def work(sync: Session) -> Drained:
        drained = _drain(calls.connection, outbox, routes, calls)
        forget_read(sync, at_once=True)
        return drained

    return _told(await session.run_sync(work), raise_errors)


def _drain(connection: Connection, outbox: Outbox, routes: Mapping[str, Publisher], calls: Calls) -> Drained:
    rows = Rows(connection, outbox)
    attempts, deliveries = Attempts(rows, outbox, calls), Deliveries(rows, outbox, routes, calls)
    while due := [*rows.due()]:
        for row in due:
            if row.task_type in outbox.handler_types:
                attempts.attempt(row)
            else:
                deliveries.deliver(row)
    return rows.drained(deliveries.unreachable)


def _routes(outbox: Outbox, publishers: Publishers) -> Mapping[str, Publisher]:
    destinations = {kind.destination for kind in outbox.task_types.values() if not kind.captured}
    if not isinstance(publishers, Mapping):
        one = publishers or MemoryPublisher()
        return dict.fromkeys(destinations, one)
    for name in sorted(destinations - publishers.keys()):
        raise UnroutedDestinationError(f"there is no publisher for {name!r}; add it to publishers, or give one for all")
    return publishers


def _told(drained: Drained, raise_errors: bool) -> Drained:
    if raise_errors:
        drained.raise_first()
    return drained
