"""Behind PgBouncer's transactions a scheduler works, waits for no lock, and leaves no session of strangers changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import URL, Engine, create_engine, select, text
from sqlalchemy.orm import Session

from asyncflow import Call, Message, Scheduler, Status
from asyncflow.errors import UnsupportedDatabaseError
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.lines.connecting import connected
from asyncflow.scheduler.schema.check import check
from asyncflow.scheduler.schema.upgrade import Upgrade
from asyncflow.testing import MemoryPublisher
from tests.integration.integrations.flowsvr.conftest import Service
from tests.support.application import Application
from tests.support.databases import fresh_database
from tests.support.drivers import PG8000, PSYCOPG, PSYCOPG2, Driver, name_of
from tests.support.pgbouncer import pooled
from tests.unit.scheduler.waiting import eventually

OPTIONS: dict[str, Any] = {"lease_seconds": 60.0, "heartbeat_seconds": 0.5, "tick": 0.2}
SETTINGS = "SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')"


@pytest.fixture(scope="module")
def pooler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give an engine that reaches its database through the pooler."""
    with fresh_database("postgresql", tmp_path_factory.mktemp("pooled")) as url:
        engine = create_engine(pooled(url), pool_size=20, connect_args={"prepare_threshold": None})
        yield engine
        engine.dispose()


@pytest.fixture
def direct(pooler: Engine) -> Iterator[Application]:
    """Give an application whose tables are made anew."""
    application = Application(pooler)
    yield application
    application.Base.metadata.drop_all(pooler)


def counts(application: Application) -> dict[int, int]:
    return dict(Counter(application.statuses()))


def test_what_is_published_and_enqueued_is_done_once(direct: Application) -> None:
    outbox, publisher = direct.outbox, MemoryPublisher()

    @outbox.task(transactional=True)
    def note(session: Session, text: str) -> None:
        session.add(direct.User(account_no=text))

    with direct.session() as session, session.begin():
        outbox.publish_many(session, "user.registered", [Message({"n": number}) for number in range(300)])
        outbox.enqueue_many(session, note, [Call({"text": str(number)}) for number in range(300)])
    with Scheduler(direct.engine, outbox, {"kafka": publisher}, **OPTIONS):
        eventually(lambda: counts(direct) == {Status.SUCCESS: 600})
    assert len(publisher.records) == 300
    users = direct.Base.metadata.tables["users"]
    assert sorted(user.account_no for user in direct.rows(users.select())) == sorted(map(str, range(300)))


def test_a_locked_row_waits_alone(direct: Application) -> None:
    outbox, publisher, tasks = direct.outbox, MemoryPublisher(), direct.outbox.tasks
    with direct.session() as session, session.begin():
        outbox.publish_many(session, "user.registered", [Message({"n": number}) for number in range(100)])
    with direct.engine.connect() as holder, Scheduler(direct.engine, outbox, {"kafka": publisher}, **OPTIONS):
        holder.execute(select(tasks.c.id).limit(1).with_for_update(skip_locked=True))
        with direct.session() as session, session.begin():
            outbox.publish_many(session, "user.registered", [Message({"n": number}) for number in range(100, 200)])
        eventually(lambda: counts(direct).get(Status.SUCCESS, 0) >= 199)
        holder.rollback()
        eventually(lambda: counts(direct) == {Status.SUCCESS: 200})


def test_nothing_is_left_set_on_sessions_that_others_get(direct: Application) -> None:
    with direct.engine.connect() as connection:
        before = connection.execute(text(SETTINGS)).one()
    publisher = MemoryPublisher()
    with direct.session() as session, session.begin():
        direct.outbox.publish(session, "user.registered", {"n": 1})
    Scheduler(direct.engine, direct.outbox, {"kafka": publisher}, **OPTIONS).drain()
    for _ in range(6):  # of the three sessions, whichever they are
        with direct.engine.connect() as connection:
            assert connection.execute(text(SETTINGS)).one() == before


def refusal(engine: Engine, application: Application) -> str:
    """Return why a scheduler does not start on an engine."""
    scheduler = Scheduler(engine, application.outbox, {"kafka": MemoryPublisher()}, **OPTIONS)
    try:
        with pytest.raises(UnsupportedDatabaseError) as refused:
            scheduler.start()
    finally:
        scheduler.stop()
        engine.dispose()
    return str(refused.value)


def keeps_what_is_prepared(url: URL) -> bool:
    """Tell whether the pooler gives prepared statements names of its own, as PgBouncer may since 1.21."""
    engine = create_engine(url)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        found = driver.execute("SELECT name FROM pg_prepared_statements", prepare=True).fetchall()
        driver.execute("DEALLOCATE ALL")
        connection.invalidate()
    engine.dispose()
    assert found
    return all(not name.startswith("_pg3_") for (name,) in found)


def test_psycopg_that_prepares_what_the_pooler_does_not_keep_is_refused_at_the_start(direct: Application) -> None:
    if keeps_what_is_prepared(direct.engine.url):
        pytest.skip("this PgBouncer keeps what is prepared")
    why = refusal(create_engine(direct.engine.url, pool_size=20), direct)
    assert "a pooler stands between" in why
    assert "connect_args={'prepare_threshold': None}" in why
    with direct.engine.connect() as connection:
        for _ in range(6):
            assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar() == 0
            connection.rollback()


def test_pg8000_is_refused_at_the_start(direct: Application) -> None:
    PG8000.require()
    assert "pg8000 sends a statement apart from its values" in refusal(
        create_engine(PG8000.url(direct.engine.url), pool_size=20), direct
    )


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("driver", [PSYCOPG, PSYCOPG2, PG8000], ids=name_of)
def test_without_a_pooler_nothing_is_refused(driver: Driver, database_url: URL) -> None:
    driver.require()
    engine = create_engine(driver.url(database_url))
    with connected(engine) as connection:
        assert dialect_of("postgresql").pooler_fault(connection, partial(connected, engine)) is None
    engine.dispose()


def test_psycopg2_works_through_it(direct: Application) -> None:
    PSYCOPG2.require()
    engine = create_engine(PSYCOPG2.url(direct.engine.url), pool_size=20)
    publisher = MemoryPublisher()
    with direct.session() as session, session.begin():
        direct.outbox.publish_many(session, "user.registered", [Message({"n": number}) for number in range(30)])
    with Scheduler(engine, direct.outbox, {"kafka": publisher}, **OPTIONS):
        eventually(lambda: counts(direct) == {Status.SUCCESS: 30})
    engine.dispose()
    assert len(publisher.records) == 30


def test_an_index_is_made_beside_the_work_and_leaves_no_session_changed(direct: Application) -> None:
    with direct.engine.connect() as connection:
        before = connection.execute(text(SETTINGS)).one()
    name = "ix_asyncflow_task_key"
    (found,) = (index for index in direct.outbox.tasks.indexes if index.name == name)
    with direct.engine.begin() as connection:
        connection.execute(text(f"DROP INDEX {name}"))
    (operation,) = check(direct.engine, direct.outbox).operations
    columns = ", ".join(column.name for column in found.columns)
    beside = replace(operation, sql=(f"CREATE INDEX CONCURRENTLY {name} ON asyncflow_task ({columns})",))
    assert Upgrade(direct.engine, direct.outbox).run(beside).left is None
    for _ in range(6):
        with direct.engine.connect() as connection:
            assert connection.execute(text(SETTINGS)).one() == before
    assert check(direct.engine, direct.outbox).operations == ()


async def test_the_task_service_works_through_it(direct: Application) -> None:
    direct.outbox.task("mail", max_retries=2)
    service = Service(direct)
    ids = [await service.create() for _ in range(12)]
    done: set[str] = set()
    while len(done) < 12:
        for task in await service.hold(most=5):
            assert (await service.set(task, "success")).json()["status"] == "SUCCESS"
            done.add(task["id"])
    await service.close()
    assert done == set(ids)
    assert counts(direct) == {Status.SUCCESS: 12}
