"""A driver that commits by itself, and a table without transactions, are found before a task outlives a rollback."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from asyncflow import Call, Inbox, Outbox, Scheduler
from asyncflow.errors import NotTransactionalError
from asyncflow.outbox import Message
from asyncflow.scheduler import DeadLetters
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application
from tests.support.databases import fresh_database, kind_of, open_engine, url_of

Write = Callable[[Application, Any], Any]
ONE = [Message(1)]

WRITES: dict[str, Write] = {
    "publish": lambda application, target: application.outbox.publish(target, "user.registered", 1),
    "many": lambda application, target: application.outbox.publish_many(target, "user.registered", ONE * 3),
    "key": lambda application, target: application.outbox.publish(target, "user.registered", 1, idempotency_key="a"),
    "inbox": lambda application, target: application.inbox.process_once(target, "m", consumer="c"),
}


def by_argument(engine: Engine) -> Engine:
    name = engine.dialect.name
    return create_engine(
        engine.url, connect_args={"isolation_level": None} if name == "sqlite" else {"autocommit": True}
    )


def by_event(engine: Engine) -> Engine:
    other = create_engine(engine.url)

    def switch(driver: Any, _: Any) -> None:
        if engine.dialect.name == "sqlite":
            driver.isolation_level = None
        elif engine.dialect.name == "postgresql":
            driver.autocommit = True
        else:
            driver.autocommit(True)

    event.listen(other, "connect", switch)
    return other


def by_statement(engine: Engine) -> Engine:
    if engine.dialect.name != "mysql":
        pytest.skip("only MySQL switches by a statement")
    return create_engine(engine.url, connect_args={"autocommit": None, "init_command": "SET autocommit = 1"})


def by_python_3_12(engine: Engine) -> Engine:
    if engine.dialect.name != "sqlite" or sys.version_info < (3, 12):
        pytest.skip("sqlite3 has it since Python 3.12")
    return create_engine(engine.url, connect_args={"autocommit": True})


@pytest.fixture(params=[by_argument, by_event, by_statement, by_python_3_12])
def autocommitting(request: pytest.FixtureRequest, application: Application) -> Iterator[Engine]:
    """Give an engine whose driver commits each statement, without a word to SQLAlchemy."""
    engine = request.param(application.engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_the_door_refuses(application: Application, autocommitting: Engine, write: Write) -> None:
    with autocommitting.connect() as connection, pytest.raises(NotTransactionalError, match="by its driver"):
        write(application, connection)

    def write_in_session() -> None:
        with Session(autocommitting) as session, session.begin():
            write(application, session)

    with pytest.raises(NotTransactionalError, match="by its driver"):
        write_in_session()
    assert application.rows() == []
    assert application.rows(application.inbox.entries.select()) == []


def test_the_run_side_refuses(application: Application, autocommitting: Engine) -> None:
    scheduler = Scheduler(autocommitting, application.outbox, {"kafka": MemoryPublisher()})
    for work in (scheduler.start, scheduler.drain, DeadLetters(autocommitting, application.outbox).list):
        with pytest.raises(NotTransactionalError, match="AUTOCOMMIT by its driver"):
            work()
    scheduler.stop()


@pytest.mark.parametrize("options", [{"isolation_level": "AUTOCOMMIT"}, {"execution_options": {}}])
def test_a_scheduler_on_an_engine_in_autocommit_is_refused(application: Application, options: dict[str, Any]) -> None:
    engine = create_engine(application.engine.url, **options)
    if "isolation_level" not in options:
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    scheduler = Scheduler(engine, application.outbox, {"kafka": MemoryPublisher()})
    for work in (scheduler.start, scheduler.drain):
        with pytest.raises(NotTransactionalError, match="AUTOCOMMIT"):
            work()
    scheduler.stop()
    engine.dispose()


def test_the_documented_way_to_pysqlite_s_savepoints_is_a_transaction(sqlite_application: Application) -> None:
    engine = create_engine(sqlite_application.engine.url)
    event.listen(engine, "connect", lambda driver, _: setattr(driver, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    for write in WRITES.values():
        with engine.connect() as connection:
            write(sqlite_application, connection)
            connection.rollback()
        with Session(engine) as session:
            write(sqlite_application, session)
            session.rollback()
    assert sqlite_application.rows() == []
    with Session(engine) as session, session.begin():
        WRITES["publish"](sqlite_application, session)
    publisher = MemoryPublisher()
    scheduler = Scheduler(engine, sqlite_application.outbox, {"kafka": publisher})
    scheduler.drain()
    scheduler.stop()
    assert len(publisher.records) == 1
    engine.dispose()


@pytest.mark.parametrize(
    ("name", "driver", "arguments"),
    [
        ("mysql", "mysql+asyncmy", {"autocommit": True}),
        ("postgresql", "postgresql+psycopg_async", {"autocommit": True}),
        ("sqlite", "sqlite+aiosqlite", {"isolation_level": None}),
    ],
)
def test_an_async_driver_is_found_as_well(
    application: Application, name: str, driver: str, arguments: dict[str, Any]
) -> None:
    if application.engine.dialect.name != name:
        pytest.skip("another database's driver")
    pytest.importorskip(driver.partition("+")[2].removesuffix("_async"))
    url = application.engine.url.set(drivername=driver)

    async def write(arguments: dict[str, Any]) -> None:
        engine = create_async_engine(url, connect_args=arguments)
        try:
            async with AsyncSession(engine) as session:
                application.outbox.publish(session, "user.registered", 1)
                await session.flush()
                await session.rollback()
        finally:
            await engine.dispose()

    with pytest.raises(NotTransactionalError, match="by its driver"):
        asyncio.run(write(arguments))
    asyncio.run(write({}))
    assert application.rows() == []


@pytest.mark.parametrize("storage", ["Aria", "MyISAM", "MEMORY"])
def test_the_tables_are_innodb_whatever_the_server_s_default_is(mariadb: Engine, storage: str) -> None:
    _require(mariadb, storage)
    engine = create_engine(mariadb.url, connect_args={"init_command": f"SET default_storage_engine = {storage}"})
    outbox = Outbox(MetaData(), prefix="made_")
    Inbox(outbox.tasks.metadata, prefix="made_")
    outbox.tasks.metadata.create_all(engine)
    with engine.connect() as connection:
        engines = text("SELECT DISTINCT engine FROM information_schema.tables WHERE LEFT(table_name, 5) = 'made_'")
        assert connection.execute(engines).scalars().all() == ["InnoDB"]
    outbox.tasks.metadata.drop_all(engine)
    engine.dispose()


@pytest.mark.parametrize("storage", ["Aria"])  # MyISAM's keys are too short for ours
def test_a_table_of_another_engine_is_refused_at_the_door_and_at_the_start(mariadb: Engine, storage: str) -> None:
    _require(mariadb, storage)
    outbox = Outbox(MetaData(), prefix="odd_")
    outbox.task("work")
    inbox = Inbox(outbox.tasks.metadata, prefix="odd_")
    outbox.tasks.metadata.create_all(mariadb)
    for table in ("task", "inbox"):
        _to(mariadb, f"odd_{table}", storage)
    engine = create_engine(mariadb.url)
    remedy = rf"of the engine {storage}.*; ALTER TABLE odd_\w+ ENGINE=InnoDB"
    with engine.connect() as connection:
        for write in _writes(outbox, inbox, connection):
            with pytest.raises(NotTransactionalError, match=remedy):
                write()
    for name in ("odd_shard", "odd_task"):
        _to(mariadb, "odd_task", "InnoDB")
        _to(mariadb, name, storage)
        scheduler = Scheduler(engine, outbox, {})
        with pytest.raises(NotTransactionalError, match=f"the table {name} is {remedy}"):
            scheduler.start()
        scheduler.stop()
        _to(mariadb, name, "InnoDB")
    outbox.tasks.metadata.drop_all(mariadb)
    engine.dispose()


def _without_a_journal(_: Application, directory: Path) -> Application:
    engine = create_engine(
        url_of("sqlite", directory)
    )  # a file of its own: the usual one has a journal, and others' connections
    event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA journal_mode=OFF"))
    return Application(engine)


def _unlogged(application: Application, _: Path) -> Application:
    with application.engine.begin() as connection:
        for table in ("asyncflow_task", application.inbox.entries.name):
            connection.execute(text(f"ALTER TABLE {table} SET UNLOGGED"))
    return Application(create_engine(application.engine.url), has_tables=True)


LOSING = {
    "sqlite": (_without_a_journal, "journal_mode is OFF.*; PRAGMA journal_mode=WAL"),
    "postgresql": (_unlogged, r"the table asyncflow_\w+ is UNLOGGED.*; ALTER TABLE asyncflow_\w+ SET LOGGED"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_table_that_keeps_what_was_undone_or_loses_what_was_kept_is_refused(
    application: Application, write: Write, tmp_path: Path
) -> None:
    if application.engine.dialect.name not in LOSING:
        pytest.skip("InnoDB always has a log")
    make, remedy = LOSING[application.engine.dialect.name]
    losing = make(application, tmp_path)
    with losing.engine.connect() as connection, pytest.raises(NotTransactionalError, match=remedy):
        write(losing, connection)
    scheduler = Scheduler(losing.engine, losing.outbox, {"kafka": MemoryPublisher()})
    for begin in (scheduler.start, scheduler.drain):
        with pytest.raises(NotTransactionalError, match=remedy):
            begin()
    scheduler.stop()
    assert losing.rows() == []
    losing.engine.dispose()


def _writes(outbox: Outbox, inbox: Inbox, connection: Connection) -> list[Callable[[], Any]]:
    return [
        lambda: outbox.enqueue(connection, "work"),
        lambda: outbox.enqueue_once(connection, "work", Call({}, idempotency_key="a")),
        lambda: inbox.process_once(connection, "a", consumer="a"),
    ]


def _require(engine: Engine, storage: str) -> None:
    if storage == "Aria" and kind_of(engine) == "mysql":
        pytest.skip("MySQL has no Aria")


def _to(engine: Engine, table: str, storage: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} ENGINE={storage}"))


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give an engine on an empty database of MariaDB."""
    with fresh_database("mariadb", Path(tmp_path_factory.mktemp("mariadb"))) as url:
        engine = open_engine(url)
        yield engine
        engine.dispose()
