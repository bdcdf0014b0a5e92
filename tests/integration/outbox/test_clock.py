"""Times are the database's: no process clock, no session time zone and no local time has a part in them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, select, text
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from asyncflow import Message
from asyncflow.outbox.clock import database_now
from asyncflow.outbox.status import Status
from tests.integration.outbox.watch import statements_of
from tests.integration.outbox.ways import Way
from tests.support.application import Application

NEAR = timedelta(seconds=120)  # between a write and its check, on a busy machine

SET_BACK = timedelta(seconds=0.1)  # by which a clock may be set meanwhile


def database_time(engine: Engine) -> datetime:
    with engine.connect() as connection:
        now: datetime = connection.execute(select(database_now())).scalar_one()
        return now


def test_the_database_s_now_is_an_aware_moment(application: Application) -> None:
    now = database_time(application.engine)
    assert now.tzinfo is timezone.utc
    assert abs(now - datetime.now(timezone.utc)) < NEAR


def test_no_moment_of_the_process_is_sent(application: Application, way: Way) -> None:
    with way(application.engine) as target, statements_of(application.engine) as sent:
        application.outbox.publish(target, "user.registered", 1, delay_seconds=5)
        application.outbox.publish_many(target, "user.registered", [Message(2), Message(3, priority=5)])
        getattr(target, "flush", lambda: None)()
        texts = [f"{statement} {parameters}" for statement, parameters in sent]
    assert texts
    assert not [found for found in texts if "datetime" in found or re.search(r"\d{4}-\d\d-\d\d[ T]", found)]


@pytest.fixture
def shanghai(application: Application) -> Iterator[Engine]:
    """Give an engine whose sessions live eight hours east of Greenwich."""
    settings = {"mysql": "SET time_zone = '+08:00'", "postgresql": "SET TIME ZONE 'Asia/Shanghai'"}
    engine = create_engine(application.engine.url)
    if engine.dialect.name in settings:
        event.listen(engine, "connect", lambda connection, _: run(connection, settings[engine.dialect.name]))
    yield engine
    engine.dispose()


def run(connection: Any, statement: str) -> None:
    cursor = connection.cursor()
    cursor.execute(statement)
    cursor.close()
    connection.commit()


@pytest.fixture
def local_time_in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process live eight hours east of Greenwich."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_session_time_zone_is_set(shanghai: Engine) -> None:
    local = {
        "mysql": "SELECT TIMESTAMPDIFF(HOUR, UTC_TIMESTAMP, NOW())",
        "postgresql": "SELECT EXTRACT(TIMEZONE FROM now())::int / 3600",
        "sqlite": "SELECT 8",
    }
    with shanghai.connect() as connection:
        assert connection.execute(text(local[shanghai.dialect.name])).scalar_one() == 8


@pytest.mark.usefixtures("local_time_in_shanghai")
def test_a_session_time_zone_changes_nothing(application: Application, shanghai: Engine) -> None:
    for writer in (application.engine, shanghai):
        with Session(writer) as session:
            application.outbox.publish(session, "user.registered", 1)
            application.outbox.publish_many(session, "user.registered", [Message(2), Message(3)])
            session.commit()
    now = database_time(application.engine)
    for reader in (application.engine, shanghai):
        with reader.connect() as connection:
            rows = connection.execute(application.outbox.tasks.select()).all()
        assert len(rows) == 6
        for row in rows:
            for moment in (row.order_time, row.next_select_time, row.created_at, row.modified_at):
                assert moment.tzinfo is timezone.utc
                assert -SET_BACK <= now - moment < NEAR


@pytest.mark.usefixtures("local_time_in_shanghai")
def test_a_task_from_another_time_zone_is_due_at_once(application: Application, shanghai: Engine) -> None:
    from asyncflow.scheduler.heads.queries import read_heads, read_pages

    with Session(shanghai) as session:
        application.outbox.publish(session, "user.registered", 1)
        session.commit()
    for reader in (application.engine, shanghai):
        with reader.connect() as connection:
            tasks = application.outbox.tasks
            (head,) = read_heads(connection, tasks, Status.PENDING)
            assert -NEAR.total_seconds() < head.due_in_seconds <= SET_BACK.total_seconds()
            assert len(read_pages(connection, tasks, [head], 10)) == 1


def test_a_column_is_compared_with_absolute_moments(application: Application, shanghai: Engine) -> None:
    tasks = application.outbox.tasks
    with application.session() as session:
        application.outbox.publish(session, "user.registered", 1)
        session.commit()
    now = database_time(application.engine)
    minute = timedelta(minutes=1)
    east = timezone(timedelta(hours=8))
    for engine in (application.engine, shanghai):
        with engine.connect() as connection:

            def found(condition: Any, connection: Any = connection) -> bool:
                return bool(connection.execute(select(tasks.c.id).where(condition)).all())

            assert found(tasks.c.created_at > now - minute)
            assert found(tasks.c.created_at < now + minute)
            assert not found(tasks.c.created_at > now + minute)
            assert found(tasks.c.created_at.between((now - minute).astimezone(east), (now + minute).astimezone(east)))
            assert found((now - minute) < tasks.c.created_at)
            assert found(tasks.c.created_at > -minute)
            assert not found(tasks.c.created_at > minute)
            assert found(tasks.c.created_at <= database_now())
            (stored,) = connection.execute(select(tasks.c.created_at)).scalars()
            assert found(tasks.c.created_at == stored)
            assert found(tasks.c.created_at.in_([stored, now + minute]))


def test_a_naive_moment_is_refused_in_a_comparison(application: Application) -> None:
    tasks = application.outbox.tasks
    naive = select(tasks.c.id).where(tasks.c.created_at > datetime(2026, 1, 1))
    with application.engine.connect() as connection, pytest.raises(StatementError, match="has no time zone; use"):
        connection.execute(naive)


def test_a_moment_of_the_process_cannot_be_written(application: Application) -> None:
    tasks = application.outbox.tasks
    absolute = tasks.update().values(order_time=datetime.now(timezone.utc))
    with application.engine.connect() as connection, pytest.raises(StatementError, match="written as a timedelta from"):
        connection.execute(absolute)


def test_tasks_of_a_long_transaction_have_the_times_of_their_own_statements(application: Application) -> None:
    with application.engine.begin() as connection:
        for number in range(3):
            application.outbox.publish(connection, "user.registered", number)
    moments = [row.created_at for row in application.rows()]
    assert moments == sorted(moments)
    if application.engine.dialect.name != "sqlite":  # which keeps milliseconds
        assert len(set(moments)) == 3


def test_priority_and_delay_move_a_task_by_exact_seconds(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        application.outbox.publish(target, "user.registered", 1, priority=31_104_000)
        application.outbox.publish(target, "user.registered", 2, delay_seconds=0.25)
        application.outbox.publish(target, "user.registered", 3, delay_seconds=timedelta(days=3650), priority=7)
    order = [(row.order_time - row.created_at).total_seconds() for row in application.rows()]
    select_ = [(row.next_select_time - row.created_at).total_seconds() for row in application.rows()]
    assert order == pytest.approx([-31_104_000, 0.25, 315_360_000], abs=0.002)
    assert select_ == pytest.approx([0, 0.25, 315_360_000], abs=0.002)
