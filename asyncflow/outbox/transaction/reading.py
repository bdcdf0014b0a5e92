"""Reading in the caller's transaction, or, where there is none, without leaving one behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.orm import Session

from asyncflow.errors import WrongTargetError
from asyncflow.outbox.queries import insert_task
from asyncflow.outbox.transaction.target import bind_of, is_async, require_untranslated, sync_session_of


def reader_of(given: Any, verb: str) -> Session | Connection:
    """Return the Session or Connection behind ``given``, which ``verb`` reads from; raises WrongTargetError."""
    if is_async(given):
        raise WrongTargetError(f"an AsyncSession needs: await outbox.{verb}_async(session, ...)")
    reader = sync_session_of(given)
    if isinstance(reader, (Session, Connection)):
        return reader
    kind = type(given).__name__
    text = f"{verb}() reads from no {kind}; give a Session or Connection"
    if kind == "AsyncConnection":
        text += f": await connection.run_sync(lambda sync: outbox.{verb}(sync, ...))"
    elif kind in ("Engine", "AsyncEngine", "sessionmaker", "async_sessionmaker"):
        text += f" that is opened from this {kind}, or an AsyncSession to {verb}_async()"
    raise WrongTargetError(text)


@contextmanager
def reading(reader: Session | Connection, tasks: Table) -> Iterator[Connection]:
    """Give the connection on which to read tasks: where they are written, which a replica may not know yet.

    In a transaction it is the caller's, after a flush as before any query of the session; so its own tasks are seen.
    Outside one no transaction is left open: its snapshot would show the next look nothing new, and its lock on the
    table would hold up who alters it. Raises WrongTargetError for a session without a bind for the table.
    """
    bind: Engine | Connection
    if isinstance(reader, Connection):
        bind = reader
    elif reader.in_transaction():
        if reader.autoflush:
            reader.flush()
        connection = reader.connection({"bind": bind_of(reader, insert_task(tasks))})
        require_untranslated(connection, tasks)
        yield connection
        return
    else:
        bind = bind_of(reader, insert_task(tasks))
    require_untranslated(bind, tasks)
    if isinstance(bind, Engine):
        with bind.connect() as connection:
            yield connection
    elif bind.in_transaction():
        yield bind
    else:
        transaction = bind.begin()
        try:
            yield bind
        finally:
            transaction.rollback()
