"""A task exists if and only if the caller's transaction committed, whatever holds the transaction."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from asyncflow import Message, Status
from tests.integration.outbox.watch import checkouts_of, statements_of
from tests.integration.outbox.ways import Way
from tests.support.application import Application
from tests.support.databases import everywhere

pytestmark = everywhere


def test_a_commit_leaves_business_row_and_task(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        target.execute(insert(application.User).values(account_no="A1001"))
        task_id = application.outbox.publish(target, "user.registered", {"account_no": "A1001"}, key="A1001")
    (row,) = application.rows()
    assert (row.id, row.task_type, row.task_key) == (task_id, "user.registered", "A1001")
    assert (row.payload, row.headers, row.status) == (b'{"account_no":"A1001"}', None, Status.PENDING)
    assert (row.retry_count, row.max_retries, row.schedule_log) == (0, 10, None)
    assert row.shard == task_id.int % 64


def test_an_error_in_the_transaction_leaves_neither(application: Application, way: Way) -> None:
    def publish_and_fail() -> None:
        with way(application.engine) as target:
            target.execute(insert(application.User).values(account_no="A1001"))
            application.outbox.publish(target, "user.registered", 1)
            application.outbox.publish_many(target, "user.registered", [Message(2), Message(3)])
            raise LookupError

    with pytest.raises(LookupError):
        publish_and_fail()
    assert application.rows() == []
    assert application.rows(select(application.User.account_no)) == []


def test_nobody_else_sees_a_task_before_the_commit(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        application.outbox.publish(target, "user.registered", 1)
        if isinstance(target, Session):
            target.flush()
        assert application.rows() == []
    assert len(application.rows()) == 1


def test_the_caller_sees_its_own_tasks_in_a_query(application: Application, way: Way) -> None:
    count = select(func.count()).select_from(application.outbox.tasks)
    with way(application.engine) as target:
        application.outbox.publish(target, "user.registered", 1)
        application.outbox.publish_many(target, "user.registered", [Message(2), Message(3)])
        getattr(target, "flush", lambda: None)()
        assert target.execute(count).scalar_one() == 3


def test_every_option_reaches_the_row(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        application.outbox.publish(
            target,
            "user.registered",
            b"\x00\xff",
            key="😀 A1001",
            headers={"trace": "1"},
            priority=60,
            content_type="image/png",
        )
        application.outbox.publish(target, "user.registered", 1, delay_seconds=timedelta(minutes=5), priority=60)
    first, second = application.rows()
    assert (first.payload, first.task_key, first.priority) == (b"\x00\xff", "😀 A1001", 60)
    assert first.headers == '{"trace":"1","content-type":"image/png"}'
    assert (first.created_at - first.order_time).total_seconds() == pytest.approx(60, abs=0.01)
    assert (second.order_time - second.created_at).total_seconds() == pytest.approx(300, abs=0.01)
    assert second.next_select_time == second.order_time
    assert second.priority == 60


def test_publish_in_a_session_sends_nothing_and_takes_no_connection(application: Application) -> None:
    engine = application.engine
    with application.session() as session, statements_of(engine) as sent, checkouts_of(engine) as taken:
        session.add(application.User(account_no="A1001"))
        task_id = application.outbox.publish(session, "user.registered", 1)
        assert isinstance(task_id, uuid.UUID)
        assert (sent, taken) == ([], [])
        assert len(session.new) == 2
        session.commit()
    assert [row.id for row in application.rows()] == [task_id]


def test_publish_on_a_connection_inserts_at_once_on_that_connection(application: Application) -> None:
    engine = application.engine
    with engine.connect() as connection, statements_of(engine) as sent, checkouts_of(engine) as taken:
        application.outbox.publish(connection, "user.registered", 1)
        assert len(sent) == 1
        assert taken == []
        assert connection.in_transaction()
        connection.rollback()
    assert application.rows() == []


def test_a_session_that_is_closed_without_commit_leaves_nothing(application: Application) -> None:
    with application.session() as session:
        application.outbox.publish(session, "user.registered", 1)
        session.flush()
    assert application.rows() == []


def test_an_expunged_task_is_not_sent(application: Application) -> None:
    with application.session() as session:
        application.outbox.publish(session, "user.registered", 1)
        session.expunge_all()
        session.commit()
    assert application.rows() == []


@pytest.mark.parametrize("expire_on_commit", [True, False])
def test_a_session_publishes_again_after_its_commit(application: Application, expire_on_commit: bool) -> None:
    with Session(application.engine, expire_on_commit=expire_on_commit) as session:
        first = application.outbox.publish(session, "user.registered", 1)
        session.commit()
        second = application.outbox.publish(session, "user.registered", 2)
        session.rollback()
        third = application.outbox.publish(session, "user.registered", 3)
        session.commit()
    assert [row.id for row in application.rows()] == [first, third]
    assert second not in (first, third)


def test_many_tasks_and_users_of_one_flush_are_all_written(application: Application) -> None:
    with application.session() as session:
        ids = []
        for number in range(120):
            session.add(application.User(account_no=f"A{number}"))
            ids.append(application.outbox.publish(session, "user.registered", number, key=f"A{number}"))
        session.commit()
    rows = application.rows()
    assert [row.id for row in rows] == ids
    assert [row.task_key for row in rows] == [f"A{number}" for number in range(120)]


def test_a_hook_is_told_of_each_task(application: Application) -> None:
    from asyncflow.events import TaskEnqueued

    application.outbox.hooks.add(application.signals)
    with application.session() as session:
        first = application.outbox.publish(session, "user.registered", 1, key="A1001")
        second, third = application.outbox.publish_many(session, "user.registered", [Message(2), Message(3, key="b")])
        session.commit()
    assert application.signals.of(TaskEnqueued) == [
        TaskEnqueued(first, "user.registered", "A1001"),
        TaskEnqueued(second, "user.registered", None),
        TaskEnqueued(third, "user.registered", "b"),
    ]


def test_a_business_row_that_the_database_refuses_takes_the_task_with_it(application: Application) -> None:
    from sqlalchemy.exc import IntegrityError

    with application.session() as session:
        session.add(application.User(account_no="A1001"))
        session.commit()

    def register_again(session: Any) -> None:
        application.outbox.publish(session, "user.registered", 1)
        session.execute(insert(application.User).values(account_no="A1001"))

    with pytest.raises(IntegrityError), application.session() as session, session.begin():
        register_again(session)
    assert application.rows() == []
