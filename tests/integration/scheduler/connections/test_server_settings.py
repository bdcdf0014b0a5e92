"""Under settings that are in use elsewhere a scheduler works, or is refused at the start by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateSchema, DropSchema

from asyncflow import Scheduler
from asyncflow.errors import UnsupportedDatabaseError
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.status import Status
from asyncflow.outbox.transaction.limited import limited
from asyncflow.scheduler import DeadLetters, Selection
from asyncflow.scheduler.connections.engine_check import require_engine
from asyncflow.scheduler.table.table_check import table_differences
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application
from tests.support.databases import STANDS_IN, drop_everything, fresh_database, url_of
from tests.unit.scheduler.waiting import eventually

_ORACLE = "sql_mode = 'ORACLE'"
MYSQL = [
    "sql_safe_updates = 1",
    "sql_mode = ''",
    "sql_mode = 'ANSI_QUOTES'",
    "sql_mode = 'NO_BACKSLASH_ESCAPES'",
    "sql_mode = 'PIPES_AS_CONCAT,HIGH_NOT_PRECEDENCE'",
    "sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO'",
    "sql_mode = 'ANSI,TRADITIONAL,NO_UNSIGNED_SUBTRACTION,PAD_CHAR_TO_FULL_LENGTH'",
    _ORACLE,
    "time_zone = '-11:30'",
    "SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
    "collation_connection = 'utf8mb4_unicode_520_ci'",
    "sql_select_limit = 3, sql_auto_is_null = 1, sql_quote_show_create = 0, group_concat_max_len = 4",
    "div_precision_increment = 0",
    "foreign_key_checks = 0",
]
POSTGRESQL = [
    "standard_conforming_strings=off",
    "IntervalStyle=iso_8601",
    "DateStyle=SQL,DMY",
    "DateStyle=German",
    "bytea_output=escape",
    "TimeZone=Asia/Kathmandu",
    "default_transaction_isolation=serializable",
    "default_transaction_deferrable=on",
    "extra_float_digits=-15",
    "backslash_quote=off",
    "jit=off",
    "synchronous_commit=off",
]
PAYLOAD = bytes(range(256)) + b"\\' \" \\\\ %s"
KEY = 'it\'s "a" \\ 😀'


@pytest.fixture(scope="module", params=[*MYSQL, *POSTGRESQL])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give an engine whose connections have one setting each."""
    if request.param == _ORACLE and STANDS_IN:
        pytest.skip("a mode of MariaDB's own")
    name = "mariadb" if request.param in MYSQL else "postgresql"
    with fresh_database(name, tmp_path_factory.mktemp(name)) as url:
        setting = f"SET {request.param}" if name == "mariadb" else f"-c {request.param}"
        engine = create_engine(url, connect_args={"init_command" if name == "mariadb" else "options": setting})
        yield engine
        drop_everything(engine)
        engine.dispose()


@pytest.fixture
def postgresql_application(tmp_path: Path) -> Iterator[Application]:
    """Give an application in a schema of its own on the PostgreSQL service."""
    url = url_of("postgresql", tmp_path)
    schema = f"asyncflow_read_{os.getpid()}"
    server = create_engine(url)
    with server.begin() as connection:
        connection.execute(CreateSchema(schema, if_not_exists=True))
    engine = create_engine(url, connect_args={"options": f"-c search_path={schema}"})
    yield Application(engine)
    engine.dispose()
    with server.begin() as connection:
        connection.execute(DropSchema(schema, cascade=True))
    server.dispose()


def test_what_is_published_and_enqueued_is_done_cleaned_and_looked_at(engine: Engine) -> None:
    application = Application(engine)
    outbox, done = application.outbox, []

    @outbox.task(transactional=True)
    def note(session: Session, text: str) -> None:
        session.add(application.User(account_no=text))

    @outbox.task(max_retries=0)
    def fail(text: str) -> None:
        done.append(text)
        raise ValueError(text)

    with application.session() as session, session.begin():
        outbox.publish(session, "user.registered", PAYLOAD, key=KEY, headers={"h": KEY}, idempotency_key=KEY)
        outbox.publish(session, "user.registered", PAYLOAD, key=KEY, headers={"h": KEY}, idempotency_key=KEY)
        outbox.enqueue(session, note, text="a \\ 'b'")
        outbox.enqueue(session, fail, text=KEY)
        assert application.inbox.process_once(session, KEY, consumer=KEY)
        assert not application.inbox.process_once(session, KEY, consumer=KEY)
    publisher = MemoryPublisher()
    scheduler = Scheduler(
        engine, outbox, {"kafka": publisher}, success_retention_seconds=0.001, cleaning_interval_seconds=0.1
    )
    scheduler.drain()
    assert [(record.key, record.value, dict(record.headers)["h"]) for record in publisher.records] == [
        (KEY.encode(), PAYLOAD, KEY.encode())
    ]
    assert done == [KEY]
    assert [user.account_no for user in application.rows(application.Base.metadata.tables["users"].select())] == [
        "a \\ 'b'"
    ]
    letters = DeadLetters(engine, outbox)
    (letter,) = letters.list().letters
    assert KEY in letters.inspect(letter.task_id).log
    assert letters.replay(Selection(everything=True), actor="ann", reason=KEY).count == 1
    with scheduler:
        eventually(lambda: application.statuses() == [int(Status.FAILED)])


def test_a_session_that_may_not_write_is_refused_by_name(postgresql_application: Application) -> None:
    arguments = {"options": "-c default_transaction_read_only=on"}
    engine = create_engine(postgresql_application.engine.url, connect_args=arguments)
    scheduler = Scheduler(engine, postgresql_application.outbox, {"kafka": MemoryPublisher()})
    for work in (scheduler.start, scheduler.drain):
        with pytest.raises(UnsupportedDatabaseError, match="default_transaction_read_only is on"):
            work()
    scheduler.stop()
    engine.dispose()


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ({"log_bin": "ON", "sql_log_bin": "ON", "binlog_format": "STATEMENT"}, "binlog_format is STATEMENT"),
        ({"max_allowed_packet": "1048576"}, "max_allowed_packet is 1048576"),
    ],
)
def test_a_server_s_setting_that_we_cannot_work_under_is_refused_by_name(
    told: dict[str, str], text: str, mariadb_url: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only a server's start sets is told here in its place."""
    from sqlalchemy import text as sql

    from asyncflow.outbox.dialects import dialect_of, mysql_checks

    rows = " UNION ALL ".join(f"SELECT '{name}', '{value}'" for name, value in told.items())
    monkeypatch.setattr(mysql_checks, "_VARIABLES", sql(rows))
    engine = create_engine(mariadb_url)
    with engine.connect() as connection:
        fault = dialect_of("mysql").server_fault(connection, 997_952)
        assert text in str(fault)
    engine.dispose()


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "ANSI"])
def test_quotes_that_sqlalchemy_does_not_know_of_are_refused_by_name(
    mode: str, mariadb_application: Application
) -> None:
    engine = create_engine(mariadb_application.engine.url)

    @event.listens_for(engine, "connect")
    def switch(driver: Any, _: Any) -> None:
        with driver.cursor() as cursor:
            cursor.execute(f"SET sql_mode = '{mode}'")

    scheduler = Scheduler(engine, mariadb_application.outbox, {"kafka": MemoryPublisher()})
    with pytest.raises(UnsupportedDatabaseError, match=r"ANSI_QUOTES.*init_command"):
        scheduler.start()
    scheduler.stop()
    engine.dispose()


def test_unchecked_keys_are_refused_at_the_door_and_at_the_start(mariadb_application: Application) -> None:
    engine = create_engine(
        mariadb_application.engine.url,
        connect_args={"init_command": "SET unique_checks = 0, foreign_key_checks = 0"},
    )
    with engine.connect() as connection, pytest.raises(UnsupportedDatabaseError, match="unique_checks is off"):
        mariadb_application.outbox.publish(connection, "user.registered", 1)
    scheduler = Scheduler(engine, mariadb_application.outbox, {"kafka": MemoryPublisher()})
    with pytest.raises(UnsupportedDatabaseError, match="unique_checks is off"):
        scheduler.start()
    scheduler.stop()
    engine.dispose()


def test_the_look_at_the_tables_opens_those_of_no_other_database(
    mariadb_application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    query = pymysql.cursors.Cursor.execute

    def noted(cursor: Any, sql: str, *values: Any) -> int:
        asked.append(sql)
        return query(cursor, sql, *values)

    monkeypatch.setattr(pymysql.cursors.Cursor, "execute", noted)
    require_engine(mariadb_application.engine, mariadb_application.outbox)
    looks = [sql for sql in asked if "information_schema" in sql]
    with mariadb_application.engine.connect() as connection:
        plans = [str(connection.exec_driver_sql(f"EXPLAIN {sql}").all()) for sql in looks]
    assert len(plans) == 2
    assert not [plan for plan in plans if "Scanned all databases" in plan]


@pytest.fixture
def mariadb_application(tmp_path: Path) -> Iterator[Application]:
    """Give an application on MariaDB."""
    server = create_engine(url_of("mariadb", tmp_path), isolation_level="AUTOCOMMIT")
    name = f"asyncflow_unchecked_{os.getpid()}"
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine = create_engine(server.url.set(database=name))
    yield Application(engine)
    engine.dispose()
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    server.dispose()


def test_reads_of_ours_are_not_cut_short_by_a_session_s_own_limits(mariadb_application: Application) -> None:
    engine = create_engine(
        mariadb_application.engine.url,
        connect_args={"init_command": "SET sql_safe_updates = 1, sql_select_limit = 1000, sql_big_selects = 0"},
    )
    asked = text("SELECT @@sql_safe_updates, @@sql_select_limit, @@sql_big_selects")
    with limited(engine) as connection:
        assert connection.execute(asked).one() == (0, 2**64 - 1, 1)
    with engine.connect() as connection:
        assert connection.execute(asked).one() == (1, 1000, 0)
    engine.dispose()


def test_an_operator_s_reads_are_not_cut_short_and_the_session_is_put_back(mariadb_application: Application) -> None:
    url = mariadb_application.engine.url
    settings = "SET sql_safe_updates = 1, sql_select_limit = 3, sql_auto_is_null = 1, sql_quote_show_create = 0"
    engine = create_engine(url, connect_args={"init_command": settings}, pool_size=1, max_overflow=0)
    asked = text("SELECT @@sql_safe_updates, @@sql_select_limit, @@sql_auto_is_null, @@sql_quote_show_create")
    for ending in (None, KeyError("the caller's own")):
        with suppress(KeyError), connected(engine) as connection:
            assert len(connection.execute(text("SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4")).all()) == 4
            if ending is not None:
                raise ending
        with engine.connect() as connection:
            assert connection.execute(asked).one() == (1, 3, 1, 0)
    with limited(engine) as connection:
        assert connection.execute(asked).one() == (0, 2**64 - 1, 0, 1)
    with engine.connect() as connection:
        assert connection.execute(asked).one() == (1, 3, 1, 0)
    assert table_differences(engine, mariadb_application.outbox) == []
    engine.dispose()
