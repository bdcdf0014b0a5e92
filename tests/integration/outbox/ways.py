"""The ways in which an application holds its transaction when it publishes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

Way = Callable[[Engine], AbstractContextManager[Any]]
AsyncWay = Callable[[AsyncEngine], AbstractAsyncContextManager[Any]]


@contextmanager
def in_session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session, session.begin():
        yield session


@contextmanager
def in_scoped_session(engine: Engine) -> Iterator[scoped_session[Session]]:
    registry = scoped_session(sessionmaker(engine))
    try:
        with registry.begin():
            yield registry
    finally:
        registry.remove()


@contextmanager
def in_session_of_a_connection(engine: Engine) -> Iterator[Session]:
    with engine.begin() as connection, Session(connection) as session, session.begin():
        yield session


@contextmanager
def on_connection_of_a_session(engine: Engine) -> Iterator[Any]:
    with in_session(engine) as session:
        yield session.connection()


@contextmanager
def on_connection(engine: Engine) -> Iterator[Any]:
    with engine.begin() as connection:
        yield connection


WAYS: list[Way] = [
    in_session,
    in_scoped_session,
    in_session_of_a_connection,
    on_connection_of_a_session,
    on_connection,
]


@asynccontextmanager
async def in_async_session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session, session.begin():
        yield session


@asynccontextmanager
async def in_async_scoped_session(engine: AsyncEngine) -> AsyncIterator[async_scoped_session[AsyncSession]]:
    registry = async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: 1)
    try:
        async with registry.begin():
            yield registry
    finally:
        await registry.remove()


ASYNC_WAYS: list[AsyncWay] = [in_async_session, in_async_scoped_session]
