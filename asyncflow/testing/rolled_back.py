"""Sessions of which nothing stays: what the application commits there is a savepoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from asyncflow.outbox.dialects import dialect_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession


@contextmanager
def rolled_back(engine: Engine, **options: Any) -> Iterator[Session]:
    """Give a Session in a transaction that is rolled back at the end, whatever was committed in between.

    ``options`` are those of the Session.
    """
    with engine.connect() as connection:
        transaction = connection.begin()
        begin_whole(connection)
        try:
            with Session(connection, join_transaction_mode="create_savepoint", **options) as session:
                yield session
        finally:
            transaction.rollback()


@asynccontextmanager
async def rolled_back_async(engine: AsyncEngine, **options: Any) -> AsyncIterator[AsyncSession]:
    """Do what ``rolled_back`` does, with an AsyncSession."""
    from sqlalchemy.ext.asyncio import AsyncSession

    async with engine.connect() as connection:
        transaction = await connection.begin()
        await connection.run_sync(begin_whole)
        try:
            own = {"expire_on_commit": False, **options}
            async with AsyncSession(connection, join_transaction_mode="create_savepoint", **own) as session:
                yield session
        finally:
            await transaction.rollback()


def begin_whole(connection: Connection) -> None:
    """Begin what the driver would begin only with the first change: it takes a savepoint before for the whole."""
    dialect_of(connection.dialect.name).begin_before_savepoint(connection)
