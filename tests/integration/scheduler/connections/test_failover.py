"""A service that moves to another server, while pooled connections stay on one that takes no writes any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from asyncflow import Call, Scheduler, Status
from asyncflow.outbox.dialects import dialect_of
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.connections.moves import note_move
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application
from tests.support.databases import kind_of
from tests.support.left_server import LeftServer
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
OPTIONS: dict[str, Any] = {"lease_seconds": 3.0, "heartbeat_seconds": 0.5, "tick": 0.2}
SETTINGS = {
    "mariadb": "SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout, @@idle_transaction_timeout, "
    "@@max_statement_time, @@wait_timeout, @@tx_isolation, @@autocommit",
    "mysql": "SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout, @@max_execution_time, @@wait_timeout, "
    "@@transaction_isolation, @@autocommit",
    "postgresql": "SELECT current_setting('lock_timeout'), current_setting('tcp_user_timeout'), "
    "current_setting('idle_in_transaction_session_timeout'), current_setting('statement_timeout'), "
    "current_setting('idle_session_timeout', true), current_setting('transaction_isolation')",
}


class Server(LeftServer):
    """Hold an engine of one test's own, whose open sessions can be left."""

    def __init__(self, url: URL) -> None:
        self.engine = create_engine(url, pool_size=10, max_overflow=20)
        super().__init__(self.engine)


@contextmanager
def server(url: URL) -> Iterator[Server]:
    """Give a server that may be left."""
    made = Server(url)
    yield made
    made.engine.dispose()


def test_a_scheduler_goes_on_at_the_new_server(application: Application) -> None:
    done: list[str] = []
    application.outbox.task("nothing")(lambda: done.append("nothing"))

    def writing(session: Session) -> None:
        session.add(application.User(account_no=f"A{len(done)}"))
        session.flush()
        done.append("writing")

    application.outbox.task("writing", transactional=True, max_retries=20, retry_interval_seconds=1)(writing)

    def enqueue() -> None:
        publish_many(application, 10)
        with application.engine.begin() as connection:
            application.outbox.enqueue_many(connection, "nothing", [Call({})] * 10)
            application.outbox.enqueue_many(connection, "writing", [Call({})] * 3)

    with server(application.engine.url) as one:
        with Scheduler(one.engine, application.outbox, {"kafka": MemoryPublisher()}, **OPTIONS) as scheduler:
            for _ in range(2):
                enqueue()
                eventually(lambda: set(application.statuses()) == {Status.SUCCESS})
                one.leave()
            eventually(lambda: len(scheduler.ownership.epochs()) == application.outbox.shard_count)
        assert one.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def refused_write(application: Application) -> DBAPIError:
    """Return what the server says to a write in a transaction that may only read."""
    with server(application.engine.url) as one, one.engine.connect() as connection:
        one.leave()
        with pytest.raises(DBAPIError) as refused:
            connection.execute(text("UPDATE asyncflow_shard SET epoch = epoch WHERE shard < 0"))
    return refused.value


def test_the_answer_of_a_server_that_takes_no_writes_is_known(application: Application) -> None:
    error = refused_write(application)
    dialect = dialect_of(application.engine.dialect.name)
    assert dialect.is_elsewhere(error)
    assert dialect.is_refused_write(error)


def test_a_write_that_is_refused_goes_to_a_new_connection_at_once(application: Application) -> None:
    with server(application.engine.url) as one:
        database = Database(one.engine)
        with one.engine.connect(), one.engine.connect():
            pass  # two that wait in the pool
        write = text("UPDATE asyncflow_shard SET epoch = epoch WHERE shard < 0")
        database.run(lambda connection: connection.execute(write))
        before = len(one.sessions)
        answers = iter([refused_write(application)])

        def work(connection: Connection) -> str:
            if (error := next(answers, None)) is not None:
                raise error
            connection.execute(write)
            return "written"

        assert database.run(work) == "written"
        assert len(one.sessions) == before + 1
        database.close()
        assert one.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_those_who_only_read_leave_the_old_server_as_well(application: Application) -> None:
    with server(application.engine.url) as one:
        reads = Database(one.engine, autocommit=True)
        number = {"mysql": "SELECT CONNECTION_ID()", "postgresql": "SELECT pg_backend_pid()"}[one.engine.dialect.name]

        def read(connection: Connection) -> int:
            return int(connection.execute(text(number)).scalar_one())

        before = reads.run(read)
        assert reads.run(read) == before
        note_move(one.engine)
        assert reads.run(read) != before
        reads.close()


def test_a_connection_goes_back_to_the_pool_as_it_came(application: Application) -> None:
    engine = create_engine(application.engine.url, pool_size=1, max_overflow=0)
    settings = text(SETTINGS[kind_of(engine)])
    with engine.connect() as connection:
        before = connection.execute(settings).all()
    for autocommit in (False, True):
        database = Database(engine, autocommit=autocommit)
        within = database.run(lambda connection: connection.execute(settings).all())
        database.close()
        with engine.connect() as connection:
            assert connection.execute(settings).all() == before
        assert within != before
    engine.dispose()
