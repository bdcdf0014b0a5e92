"""Turns: what an ordered type goes by is drawn by the database, never steps back, and waits for no clock."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import func, insert, select, text

from asyncflow import Message, Status
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.writing.turns import draw
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.support.application import Application

MOVED = "account.moved"


@pytest.fixture
def ordered(application: Application) -> Application:
    application.outbox.message(MOVED, ordered=True)
    return application


def set_clock_back(application: Application, seconds: float) -> None:
    """Let turns be so far ahead of the clock as they are when it was set back."""
    turns = application.outbox.turns
    number = int((time.time() + seconds) * 1e6)
    with application.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(
                text(
                    "SELECT setval(seq, greatest(nextval(seq), :number)) "
                    "FROM (SELECT pg_get_serial_sequence(:name, 'number')::regclass AS seq) AS its"
                ),
                {"name": turns.name, "number": number},
            )
        else:
            connection.execute(insert(turns), {"number": number})


def publish(application: Application, *values: bytes) -> None:
    with application.session() as session, session.begin():
        for value in values:
            application.outbox.publish(session, MOVED, value, key="A")


def test_turns_rise_through_rollbacks_and_catch_up_with_the_clock(application: Application) -> None:
    turns = []
    for commits in (True, False, True):
        with application.engine.connect() as connection:
            drawn = [draw(connection, application.outbox.turns) for _ in range(3)]
            if commits:
                connection.commit()
                turns += drawn
    assert turns == sorted(set(turns))
    assert abs(turns[0].timestamp() - time.time()) < 60


@pytest.mark.parametrize("bulk", [True, False])
def test_what_is_enqueued_later_has_the_later_turn_though_the_clock_is_set_back(
    bulk: bool, ordered: Application
) -> None:
    for number in range(3):
        with ordered.session() as session, session.begin():
            if bulk:
                ordered.outbox.publish_many(session, MOVED, [Message(str(number).encode(), key="A")] * 2)
            else:
                ordered.outbox.publish(session, MOVED, str(number).encode(), key="A")
        set_clock_back(ordered, 600.0 * (number + 1))
    tasks = ordered.outbox.tasks
    rows = ordered.rows(select(tasks).order_by(tasks.c.created_at, tasks.c.id))
    assert [row.payload for row in rows] == sorted(row.payload for row in rows)
    assert all(row.order_time == row.created_at for row in rows)


def test_what_is_ahead_of_the_clock_waits_for_no_clock(ordered: Application, schedule: Schedule) -> None:
    publish(ordered, b"1")
    set_clock_back(ordered, 1000.0)
    publish(ordered, b"2", b"3")
    publisher = MemoryPublisher()
    schedule(publisher).drain()
    assert [record.value for record in publisher.records] == [b"1", b"2", b"3"]
    assert set(ordered.statuses()) == {Status.SUCCESS}


def test_a_delayed_message_beside_them_waits_all_the_same(ordered: Application, schedule: Schedule) -> None:
    set_clock_back(ordered, 1000.0)
    publish(ordered, b"1")
    with ordered.session() as session, session.begin():
        ordered.outbox.publish(session, "user.registered", b"later", delay_seconds=500)
    publisher = MemoryPublisher()
    schedule(publisher).drain()
    assert [record.value for record in publisher.records] == [b"1"]


def test_the_cleaner_leaves_the_latest_turn(ordered: Application, schedule: Schedule) -> None:
    publish(ordered, b"1", b"2", b"3")
    turns = ordered.outbox.turns
    with ordered.engine.connect() as connection:
        latest = connection.execute(select(func.max(turns.c.number))).scalar()
    scheduler = schedule()
    scheduler.ownership.acquire()
    while scheduler.machinery.staff.cleaner.step() < 1:
        pass
    with ordered.engine.connect() as connection:
        left = connection.execute(select(turns.c.number)).scalars().all()
        assert left == ([] if latest is None else [latest])
        following = dialect_of(connection.dialect.name).draw(connection, turns)
    assert latest is None or following > latest
