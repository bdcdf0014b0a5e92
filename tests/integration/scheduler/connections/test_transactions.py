from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, text

from asyncflow import Status
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import Meanwhile, ids_of
from tests.integration.scheduler.writing import publish, publish_many
from tests.support.application import Application
from tests.support.databases import kind_of

OPEN_ON_THE_SERVER = {
    "mysql": (
        "SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p "
        "ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE()"
    ),
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'",
}
LEVEL = {
    "mariadb": "SELECT @@tx_isolation",
    "mysql": "SELECT @@transaction_isolation",
    "postgresql": "SHOW transaction_isolation",
    "sqlite": "SELECT 'READ-COMMITTED'",
}


@pytest.fixture
def open_transactions(engine: Engine) -> Iterator[Callable[[], int]]:
    """Count the transactions that are open on an engine."""
    began = [0]

    def begin(connection: Any) -> None:
        began[0] += is_transactional(connection)

    def end(connection: Any) -> None:
        began[0] -= is_transactional(connection)

    hooks: Sequence[tuple[str, Any]] = [("begin", begin), ("commit", end), ("rollback", end)]
    for name, hook in hooks:
        event.listen(engine, name, hook)
    yield lambda: began[0]
    for name, hook in hooks:
        event.remove(engine, name, hook)


def is_transactional(connection: Any) -> bool:
    """Tell whether statements wait for a commit: SQLAlchemy tells of a transaction where none is open, too."""
    return bool(connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT")


def open_on_the_server(engine: Engine) -> int:
    """Ask the server itself, through another engine."""
    statement = OPEN_ON_THE_SERVER.get(engine.dialect.name)
    if statement is None:
        return 0
    other = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        found = int(connection.execute(text(statement)).scalar_one())
    other.dispose()
    return found


def left_open_on_the_server(engine: Engine) -> int:
    """Ask until there are none, for a while: what InnoDB tells is older than that while others ask as well."""
    until = time.monotonic() + 30
    while (count := open_on_the_server(engine)) and time.monotonic() < until:
        time.sleep(0.2)
    return count


def test_no_transaction_is_open_while_the_publisher_works(
    application: Application, schedule: Schedule, open_transactions: Callable[[], int]
) -> None:
    @application.outbox.message("built")
    def build(session: Any, tasks: Any) -> list[str]:
        session.execute(text("SELECT 1"))
        return ["x" for _ in tasks]

    publish_many(application, 5)
    with application.session() as session, session.begin():
        application.outbox.publish(session, "built", key="A1")
    found: list[tuple[int, int]] = []
    publisher = Meanwhile(lambda: found.append((open_transactions(), left_open_on_the_server(application.engine))))
    schedule(publisher).drain()
    assert found == [(0, 0)]
    assert len(publisher.records) == 6


def test_rows_can_be_changed_while_the_publisher_works(application: Application, schedule: Schedule) -> None:
    publish_many(application, 5)
    publisher = Meanwhile(lambda: publish(application))
    schedule(publisher).drain()
    assert len(publisher.records) == 6


def test_a_transaction_that_commits_late_with_an_early_id_is_delivered(
    application: Application, schedule: Schedule
) -> None:
    publisher = MemoryPublisher()
    scheduler = schedule(publisher)
    with application.session() as early:
        first = application.outbox.publish(early, "user.registered", {"n": 0})
        if application.engine.dialect.name != "sqlite":
            early.flush()  # SQLite has one writer: there the id alone is early
        later = publish_many(application, 30)
        scheduler.drain()
        assert first < min(later)
        assert len(publisher.records) == 30
        early.commit()
    scheduler.drain()
    assert ids_of(publisher)[-1] == str(first)
    assert len(publisher.records) == 31
    assert set(application.statuses()) == {Status.SUCCESS}


def test_what_was_rolled_back_is_not_delivered(application: Application, schedule: Schedule) -> None:
    publisher = MemoryPublisher()
    scheduler = schedule(publisher, min_pause_seconds=0.001)
    scheduler.start()
    with application.session() as session:
        application.outbox.publish(session, "user.registered", {"n": 1})
        session.flush()
        session.rollback()
    with application.session() as session, session.begin():
        savepoint = session.begin_nested()
        application.outbox.publish(session, "user.registered", {"n": 2})
        session.flush()
        savepoint.rollback()
        kept = application.outbox.publish(session, "user.registered", {"n": 3})
    scheduler.stop()
    drain_afresh(application, publisher)
    assert ids_of(publisher) == [str(kept)]


def drain_afresh(application: Application, publisher: MemoryPublisher) -> None:
    scheduler = application.scheduler(publisher)
    scheduler.drain()
    scheduler.stop()


def test_our_statements_run_in_read_committed_and_the_pool_gets_its_own_level_back(
    application: Application, schedule: Schedule
) -> None:
    engine = application.engine
    with engine.connect() as connection:
        before = connection.execute(text(LEVEL[kind_of(engine)])).scalar_one()
    levels: list[str] = []
    scheduler = schedule()
    scheduler.drain()
    ask = text(LEVEL[kind_of(engine)])
    levels.append(scheduler.relays[0]._database.run(lambda connection: connection.execute(ask).scalar_one()))
    scheduler.stop()
    assert [level.upper().replace(" ", "-") for level in levels] == ["READ-COMMITTED"]
    connections = [engine.connect() for _ in range(3)]
    after = {connection.execute(text(LEVEL[kind_of(engine)])).scalar_one() for connection in connections}
    for connection in connections:
        connection.close()
    assert after == {before}
