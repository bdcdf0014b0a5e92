"""The core promises hold with each driver of MariaDB and PostgreSQL that applications have."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from asyncflow import Message, Status
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.payload import encode
from asyncflow.scheduler.connections.again import run_once
from asyncflow.scheduler.connections.database import Database
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import ids_of
from tests.integration.scheduler.writing import publish, publish_many, texts
from tests.support.application import Application
from tests.support.left_server import LeftServer
from tests.unit.scheduler.waiting import eventually

OPTIONS: dict[str, Any] = {"heartbeat_seconds": 0.5, "tick": 0.2}
PAYLOADS: list[Any] = [
    {"text": "🎉 naïve 漢字 \U0001f469\u200d\U0001f680"},
    {"text": "100 % %s %(n)s %% :n ? $1 \\ ' \" ` \n \r \x1a \0 {} {n}"},
    {"text": "é" * 300_000},
    bytes(range(256)) * 8,
    b"\x00",
    b"",
    [],
    "0",
]
SETTINGS = {
    "mysql": "SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout, @@sql_safe_updates, @@autocommit",
    "postgresql": "SELECT current_setting('lock_timeout'), current_setting('tcp_user_timeout'), "
    "current_setting('idle_in_transaction_session_timeout'), current_setting('transaction_isolation')",
}
KILLS = {
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()",
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
}
KILL = {"mysql": "KILL {}", "postgresql": "SELECT pg_terminate_backend({})"}


def is_done(application: Application) -> bool:
    return set(application.statuses()) == {Status.SUCCESS}


def are_done(application: Application, engine: Engine) -> bool:
    """Ask the same by another engine: the pool of the application's may have connections that were ended."""
    with engine.connect() as connection:
        return set(connection.execute(select(application.outbox.tasks.c.status)).scalars()) == {Status.SUCCESS}


def settings_of(engine: Engine) -> Any:
    with engine.connect() as connection:
        return connection.execute(text(SETTINGS[engine.dialect.name])).one()


def end_sessions(engine: Engine) -> int:
    """Have the server end every other session of the database; return how many there were."""
    name = engine.dialect.name
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        found = connection.execute(text(KILLS[name])).scalars().all()
        for one in found:
            with suppress(DBAPIError):  # it has ended meanwhile
                connection.execute(text(KILL[name].format(one)))
    return len(found)


def touch(account_no: str, application: Application) -> Any:
    """Return a statement that locks a user's row."""
    return update(application.users).where(application.users.c.account_no == account_no).values(name="touched")


@pytest.fixture
def users(application: Application) -> Application:
    """Give the application with two users."""
    with application.session() as session, session.begin():
        session.add_all([application.User(account_no="A"), application.User(account_no="B")])
    return application


@pytest.fixture
def one_connection(application: Application) -> Iterator[Engine]:
    """Give an engine of the driver with one connection."""
    engine = create_engine(application.engine.url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


def test_what_committed_arrives_as_it_was_and_what_rolled_back_never_does(
    application: Application, schedule: Schedule
) -> None:
    publisher, outbox = MemoryPublisher(), application.outbox
    with application.session() as session:
        publish_of_nothing = outbox.publish(session, "user.registered", {"never": "sent"})
        session.flush()
        session.rollback()
    with application.session() as session, session.begin():
        ids = [
            outbox.publish(session, "user.registered", payload, key=f"ключ-{n}-🔑", headers={"né": "漢 %s"})
            for n, payload in enumerate(PAYLOADS)
        ]
    ids += publish_many(application, 300, key="of many")
    with application.engine.begin() as connection:
        ids.append(outbox.publish(connection, "user.registered", {"by": "a connection"}))
    with schedule(publisher, **OPTIONS):
        eventually(lambda: is_done(application))
    assert set(ids_of(publisher)) == texts(ids)
    assert str(publish_of_nothing) not in ids_of(publisher)
    assert len(publisher.records) == len(ids)
    sent = {dict(record.headers)["message-id"].decode(): record for record in publisher.records}
    for n, (task_id, payload) in enumerate(zip(ids, PAYLOADS, strict=False)):
        record = sent[str(task_id)]
        assert record.value == encode(payload)[0]
        assert record.key == f"ключ-{n}-🔑".encode()
        assert ("né", "漢 %s".encode()) in record.headers


def test_a_transactional_handler_has_its_effect_with_its_outcome_and_none_without(
    application: Application, schedule: Schedule
) -> None:
    tries: list[str] = []

    @application.outbox.task(transactional=True, max_retries=3, retry_interval_seconds=0, max_retry_interval_seconds=0)
    def register(session: Session, account_no: str) -> None:
        session.add(application.User(account_no=account_no, name="🎉"))
        session.flush()
        tries.append(account_no)
        if tries == ["A"]:
            raise ValueError("its first try")

    with application.session() as session, session.begin():
        register.enqueue(session, account_no="A")
    with schedule(**OPTIONS):
        eventually(lambda: is_done(application))
    assert tries == ["A", "A"]
    assert [user.name for user in application.rows(select(application.users))] == ["🎉"]


def test_ordered_messages_of_a_key_leave_in_their_order(application: Application, schedule: Schedule) -> None:
    application.outbox.message("ordered", ordered=True)
    publisher = MemoryPublisher()
    with schedule(publisher, **OPTIONS):
        ids = [publish(application, {"n": n}, "ordered", key="one") for n in range(12)]
        with application.session() as session, session.begin():
            ids += application.outbox.publish_many(session, "ordered", [Message({"n": n}, "one") for n in range(12)])
        eventually(lambda: is_done(application))
    assert ids_of(publisher) == list(map(str, ids))


def test_a_key_used_twice_writes_one_task(application: Application) -> None:
    @application.outbox.task
    def rebuild(account_no: str) -> None: ...

    got = []
    for _ in range(2):
        with application.session() as session, session.begin():
            of_key = application.outbox.publish(session, "user.registered", 1, idempotency_key="k-é")
            of_unique = application.outbox.enqueue(session, rebuild, account_no="A", unique_key="u-é")
            got.append((of_key, of_unique))
    assert got[0] == got[1]
    assert len(application.rows()) == 2


def test_a_lock_that_is_not_had_is_answered_and_waited_for_again(users: Application, usual: Engine) -> None:
    database, answers = Database(users.engine), []
    with usual.begin() as holder:
        holder.execute(touch("A", users))

        def wait(connection: Connection) -> str:
            connection.execute(touch("A", users))
            return "had"

        answers.append(database.run(wait, lambda _: "not had"))
        with ThreadPoolExecutor(1) as beside:
            waits = beside.submit(database.run, wait)
            holder.commit()
            answers.append(waits.result(60))
    database.close()
    assert answers == ["not had", "had"]


def test_of_two_that_wait_for_each_other_both_get_done(users: Application) -> None:
    both = threading.Barrier(2)
    tries: list[str] = []

    def cross(first: str, second: str) -> str:
        def work(connection: Connection) -> None:
            connection.execute(touch(first, users))
            if tries.count(first) == 0:
                tries.append(first)
                both.wait(60)
            connection.execute(touch(second, users))

        with Database(users.engine) as database:
            database.run(work)
        return first

    with ThreadPoolExecutor(2) as threads:
        crossed = [threads.submit(cross, "A", "B"), threads.submit(cross, "B", "A")]
        assert [one.result(60) for one in crossed] == ["A", "B"]


def test_a_scheduler_goes_on_after_the_server_has_ended_all_its_sessions(
    application: Application, usual: Engine, schedule: Schedule
) -> None:
    publisher = MemoryPublisher()
    with schedule(publisher, **OPTIONS):
        ids = publish_many(application, 10)
        eventually(lambda: is_done(application))
        assert end_sessions(usual)
        usual.dispose()
        with Session(usual) as session, session.begin():
            ids += application.outbox.publish_many(session, "user.registered", [Message({"n": n}) for n in range(10)])
        eventually(lambda: are_done(application, usual))
    assert set(ids_of(publisher)) == texts(ids)


def test_a_write_whose_session_was_ended_is_made_again_and_once(users: Application, usual: Engine) -> None:
    ended: list[int] = []

    def work(connection: Connection) -> str:
        connection.execute(touch("A", users))
        if not ended:
            ended.append(end_sessions(usual))
            usual.dispose()
            connection.execute(touch("B", users))
        return "written"

    with Database(users.engine) as database:
        assert run_once(database, work, lambda _: None) == "written"
    assert ended


def test_a_server_that_takes_no_writes_any_more_is_known_and_left(users: Application, one_connection: Engine) -> None:
    left = LeftServer(one_connection)
    dialect = dialect_of(one_connection.dialect.name)
    told: list[DBAPIError] = []

    def work(connection: Connection) -> str:
        if not told:
            left.leave()
        try:
            connection.execute(touch("A", users))
        except DBAPIError as error:
            told.append(error)
            raise
        return "written"

    with Database(one_connection) as database:
        assert database.run(work) == "written"
    assert [dialect.is_elsewhere(error) and dialect.is_refused_write(error) for error in told] == [True]


def test_a_connection_goes_back_to_the_pool_as_it_came(one_connection: Engine) -> None:
    query, before = text(SETTINGS[one_connection.dialect.name]), settings_of(one_connection)

    def ask(connection: Connection) -> Any:
        return connection.execute(query).one()

    for autocommit in (False, True):
        with Database(one_connection, autocommit=autocommit) as database:
            assert database.run(ask) != before
        assert settings_of(one_connection) == before


def test_a_look_ends_no_later_than_its_answer_though_the_pool_asks_whether_connections_live(
    application: Application,
) -> None:
    engine = create_engine(application.engine.url, pool_pre_ping=True, pool_size=1, max_overflow=0)
    engine.connect().close()  # the next check-out asks
    now = text("SELECT CURRENT_TIMESTAMP(6)" if engine.dialect.name == "mysql" else "SELECT now()")

    def look(connection: Connection) -> Any:
        return connection.execute(now).scalar_one()

    with Database(engine, autocommit=True) as database:
        looks = {database.run(look) for _ in range(3)}
    engine.dispose()
    assert len(looks) == 3


def test_a_scheduler_that_is_stopped_leaves_no_connection_and_no_claim(
    application: Application, schedule: Schedule
) -> None:
    @application.outbox.task
    def nap() -> None: ...

    with application.session() as session, session.begin():
        for _ in range(20):
            nap.enqueue(session)
    scheduler = schedule(**OPTIONS)
    scheduler.start()
    eventually(lambda: is_done(application))
    assert scheduler.stop(timeout_seconds=60)
    eventually(lambda: application.engine.pool.checkedout() == 0)  # type: ignore[attr-defined]
