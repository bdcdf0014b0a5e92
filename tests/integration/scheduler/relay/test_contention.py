from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, text
from sqlalchemy.exc import DBAPIError

from asyncflow import Call, Scheduler, Status
from asyncflow.events import StepFailed
from asyncflow.outbox.dialects import dialect_of
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.publishers import LONG, Meanwhile, ids_of
from tests.integration.scheduler.waiters import somebody_waits
from tests.integration.scheduler.writing import publish_many, texts
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

IMPATIENT: dict[str, dict[str, Any]] = {
    "mysql": {"init_command": "SET SESSION innodb_lock_wait_timeout = 1"},
    "postgresql": {"options": "-c lock_timeout=50"},
    "sqlite": {"timeout": 0},
}
PATIENT: dict[str, dict[str, Any]] = {
    "mysql": {"init_command": "SET SESSION innodb_lock_wait_timeout = 20"},
    "postgresql": {"options": "-c deadlock_timeout=50"},
}
on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


@contextmanager
def engine_like(url: URL, arguments: dict[str, dict[str, Any]]) -> Iterator[Engine]:
    """Give an engine whose sessions are set up as ``arguments`` say."""
    engine = create_engine(url, connect_args=arguments[url.get_backend_name()])
    yield engine
    engine.dispose()


class Blocker:
    """Hold locks on the task rows from another connection, and let go at the first error that they cause."""

    def __init__(self, application: Application, relays_engine: Engine) -> None:
        self.errors: list[BaseException] = []
        self._application = application
        self._held: Connection | None = None
        event.listen(relays_engine, "handle_error", self._notice)

    def lock(self) -> None:
        self._held = self._application.engine.connect()
        if self._application.engine.dialect.name == "sqlite":
            self._held.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            name = self._application.outbox.tasks.fullname
            self._held.execute(text(f"SELECT id FROM {name} FOR UPDATE"))

    def release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.rollback()
            held.close()

    def _notice(self, context: Any) -> None:
        self.errors.append(context.original_exception)
        self.release()


def test_a_settle_that_waits_too_long_for_a_lock_is_run_again(application: Application, database_url: URL) -> None:
    ids = publish_many(application, 10)
    with engine_like(database_url, IMPATIENT) as engine, ExitStack() as stack:
        blocker = Blocker(application, engine)
        stack.callback(blocker.release)
        publisher = Meanwhile(blocker.lock)
        scheduler = Scheduler(engine, application.outbox, {"kafka": publisher}, hooks=[application.signals])
        stack.callback(scheduler.stop)
        scheduler.drain()
    assert len(blocker.errors) == 1
    assert set(application.statuses()) == {Status.SUCCESS}
    assert sorted(ids_of(publisher)) == sorted(texts(ids))
    assert application.signals.of(StepFailed) == []


@on_servers
def test_a_deadlock_never_surfaces_and_nothing_is_published_twice(application: Application, database_url: URL) -> None:
    """Another transaction holds the last row and then wants the first, which the settle holds."""
    ids = publish_many(application, 10)
    with engine_like(database_url, PATIENT) as engine, ExitStack() as stack:
        deadlocks: list[Any] = []
        event.listen(engine, "handle_error", lambda context: deadlocks.append(context.sqlalchemy_exception))
        rival = Rival(application)
        stack.callback(rival.end)
        publisher = Meanwhile(rival.begin)
        scheduler = Scheduler(engine, application.outbox, {"kafka": publisher}, hooks=[application.signals])
        stack.callback(scheduler.stop)
        scheduler.drain()
        rival.end()
    dialect, errors = dialect_of(engine.dialect.name), [*deadlocks, *rival.errors]
    assert errors
    assert all(dialect.is_contention(error) for error in errors)
    # A lock that was waited for too long, for the rival was slow, is no deadlock; and then there may be none.
    waited = [error for error in errors if dialect.is_lock_wait(error)]
    assert len(errors) - len(waited) == 1 or len(errors) == len(waited)
    assert set(application.statuses()) == {Status.SUCCESS}
    assert sorted(ids_of(publisher)) == sorted(texts(ids))
    assert application.signals.of(StepFailed) == []


class Rival:
    """Lock the last task row, wait until the settle waits for it, then ask for all the others."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._thread: threading.Thread | None = None
        self._locked = threading.Event()
        self.errors: list[DBAPIError] = []

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._locked.wait(LONG)

    def end(self) -> None:
        if self._thread is not None:
            self._thread.join(LONG)

    def _run(self) -> None:
        ids = sorted(row.id for row in self._application.rows())
        try:
            with self._application.engine.connect() as connection, connection.begin() as transaction:
                # Heavy, so that InnoDB, which ends the lighter transaction, ends the settle.
                connection.execute(
                    insert(self._application.users), [{"account_no": f"A{number}"} for number in range(100)]
                )
                self._lock(connection, ids[-1:])
                self._locked.set()
                eventually(lambda: somebody_waits(self._application.engine))
                self._lock(connection, ids[:-1])
                transaction.rollback()
        except DBAPIError as error:
            self.errors.append(error)

    def _lock(self, connection: Connection, ids: list[Any]) -> None:
        tasks = self._application.outbox.tasks
        connection.execute(tasks.update().where(tasks.c.id.in_(ids)).values(priority=tasks.c.priority + 1))


KILL = {
    "mysql": (
        "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
        "KILL {}",
    ),
    "postgresql": (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
        "SELECT pg_terminate_backend({})",
    ),
}


def kill_all_connections(url: URL) -> None:
    """End every other connection to the database, as a restart of the server would."""
    find, kill = KILL[url.get_backend_name()]
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for number in connection.execute(text(find)).scalars().all():
            with suppress(DBAPIError):  # it has ended a moment before
                connection.execute(text(kill.format(int(number))))
    engine.dispose()


@on_servers
def test_what_was_published_before_the_database_went_away_is_settled_and_not_published_again(
    application: Application, database_url: URL
) -> None:
    ids = publish_many(application, 10)
    publisher = Meanwhile(lambda: kill_all_connections(database_url))
    with application.scheduler(publisher, success_retention_seconds=None, failed_retention_seconds=None):
        # Of whichever loop met it first: after that the others leave their connections before they use them.
        application.signals.wait_for(StepFailed)
        eventually(lambda: set(application.statuses()) == {Status.SUCCESS})
        more = publish_many(application, 10)
        eventually(lambda: set(application.statuses()) == {Status.SUCCESS})
    assert sorted(ids_of(publisher)) == sorted(texts(ids + more))


@on_servers
def test_a_relay_outlives_the_loss_of_its_connection_while_it_is_idle(
    application: Application, database_url: URL
) -> None:
    publisher = MemoryPublisher()
    with application.scheduler(publisher, tick=0.05):
        publish_many(application, 5)
        eventually(lambda: set(application.statuses()) == {Status.SUCCESS})
        kill_all_connections(database_url)
        application.engine.dispose()
        ids = publish_many(application, 5)
        eventually(lambda: set(application.statuses()) == {Status.SUCCESS})
    assert texts(ids) <= set(ids_of(publisher))
    assert len(publisher.records) == 10


@on_servers
@pytest.mark.parametrize("count", [3, 200])
def test_an_open_transaction_of_the_application_holds_up_nothing_that_is_deleted(
    application: Application, database_url: URL, count: int
) -> None:
    @application.outbox.task
    def nothing() -> None: ...

    with application.session() as session, session.begin():
        application.outbox.enqueue_many(session, nothing, [Call({})] * count)
    publish_many(application, count)
    with application.session() as open_one, engine_like(database_url, PATIENT) as engine:
        application.outbox.publish(open_one, "user.registered", {})
        application.outbox.enqueue(open_one, nothing)
        open_one.flush()
        scheduler = Scheduler(engine, application.outbox, {"kafka": MemoryPublisher()}, on_success="delete")
        began = time.monotonic()
        scheduler.drain()
        scheduler.stop()
        took = time.monotonic() - began
        open_one.commit()
    assert len(application.rows()) == 2
    assert took < 40, "it waited for the lock"
