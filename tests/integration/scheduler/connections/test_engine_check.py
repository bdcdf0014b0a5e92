"""Engines on which a scheduler would do harm are refused at the start, with the remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import AssertionPool, Engine, NullPool, QueuePool, SingletonThreadPool, StaticPool, create_engine
from sqlalchemy.orm import Session

from asyncflow import Scheduler
from asyncflow.errors import OptionError
from asyncflow.outbox import Message
from asyncflow.outbox.status import Status
from asyncflow.scheduler import DeadLetters
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application


def shared_memory(**options: Any) -> Engine:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect("file:asyncflow?mode=memory&cache=shared", uri=True, check_same_thread=False)

    return create_engine("sqlite://", creator=connect, **options)


MEMORIES: dict[str, Callable[[], Engine]] = {
    "plain": lambda: create_engine("sqlite://"),
    "static": lambda: create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}),
    "named": lambda: create_engine("sqlite:///:memory:"),
    "shared": lambda: create_engine("sqlite:///file::memory:?cache=shared&uri=true"),
    "shared, no pool": lambda: create_engine(
        "sqlite:///file:one?mode=memory&cache=shared&uri=true", poolclass=NullPool
    ),
    "creator": lambda: shared_memory(poolclass=NullPool),
}


@pytest.fixture(params=MEMORIES)
def in_memory(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Give an engine on a database in memory, kept alive by one connection."""
    engine = MEMORIES[request.param]()
    with engine.connect():
        yield engine
    engine.dispose()


@pytest.mark.parametrize("begin", ["start", "drain"])
def test_a_database_in_memory_is_refused_and_the_application_s_transaction_is_left_alone(
    in_memory: Engine, begin: str
) -> None:
    application = Application(in_memory)
    with Session(in_memory) as session:
        application.outbox.publish(session, "user.registered", 1)
        session.flush()
        scheduler = application.scheduler()
        with pytest.raises(OptionError, match=r"create_engine\('sqlite:///app.db'\)"):
            getattr(scheduler, begin)()
        scheduler.stop()
        session.rollback()
    assert application.rows() == []


@pytest.mark.parametrize("pool", [StaticPool, SingletonThreadPool, AssertionPool])
def test_a_pool_with_one_connection_for_all_is_refused(tmp_path: Path, pool: type[Any]) -> None:
    arguments = {"check_same_thread": False}
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}", poolclass=pool, connect_args=arguments)
    application = Application(engine)
    scheduler = application.scheduler()
    with engine.begin() as connection:
        application.outbox.publish(connection, "user.registered", 1)
        for work in (scheduler.start, scheduler.drain, DeadLetters(engine, application.outbox).list):
            with pytest.raises(OptionError, match=f"the engine's pool is a {pool.__name__}"):
                work()
        connection.rollback()
    assert application.rows() == []
    scheduler.stop()
    engine.dispose()


def test_a_file_is_taken(sqlite_application: Application) -> None:
    publisher = MemoryPublisher()
    with sqlite_application.session() as session, session.begin():
        sqlite_application.outbox.publish(session, "user.registered", 1)
    scheduler = Scheduler(sqlite_application.engine, sqlite_application.outbox, {"kafka": publisher})
    scheduler.drain()
    scheduler.stop()
    assert len(publisher.records) == 1


@pytest.mark.parametrize("size", range(1, 6))
def test_a_drain_does_all_that_is_due_or_is_refused_by_the_pool_s_size(application: Application, size: int) -> None:
    engine = create_engine(application.engine.url, poolclass=QueuePool, pool_size=size, max_overflow=0)
    least = 4 if engine.dialect.name == "sqlite" else 5
    with application.session() as session, session.begin():
        application.outbox.publish_many(session, "user.registered", [Message(1)] * 3000)
    scheduler = Scheduler(engine, application.outbox, {"kafka": MemoryPublisher()})
    if size < least:
        with pytest.raises(OptionError, match=f"at most {size} connections?, .* at least {least};"):
            scheduler.drain()
    else:
        scheduler.drain()
        assert set(application.statuses()) == {int(Status.SUCCESS)}
    scheduler.stop()
    engine.dispose()
