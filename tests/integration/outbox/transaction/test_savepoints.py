"""A rolled-back savepoint leaves nothing, and what is around it stays."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from asyncflow import Message
from tests.integration.outbox.ways import Way
from tests.support.application import Application


@pytest.fixture(scope="module")
def lasting_engine(lasting_engine: Engine) -> Engine:
    """Let SQLite begin with BEGIN, as its users do who need savepoints: the driver alone begins too late."""
    if lasting_engine.dialect.name == "sqlite":
        event.listen(lasting_engine, "connect", _leave_begin_to_us)
        event.listen(lasting_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return lasting_engine


def _leave_begin_to_us(connection: Any, _: Any) -> None:
    connection.isolation_level = None


def test_only_the_rolled_back_savepoint_is_gone(application: Application, way: Way) -> None:
    outbox = application.outbox
    with way(application.engine) as target:
        before = outbox.publish(target, "user.registered", 1)
        with target.begin_nested() as savepoint:
            outbox.publish(target, "user.registered", 2)
            outbox.publish_many(target, "user.registered", [Message(3), Message(4)])
            savepoint.rollback()
        with target.begin_nested():
            inside = outbox.publish(target, "user.registered", 5)
        after = outbox.publish(target, "user.registered", 6)
    assert [row.id for row in application.rows()] == [before, inside, after]


def test_a_savepoint_is_gone_with_its_transaction(application: Application, way: Way) -> None:
    def publish_and_fail() -> None:
        with way(application.engine) as target:
            with target.begin_nested():
                application.outbox.publish(target, "user.registered", 1)
            with target.begin_nested():
                application.outbox.publish_many(target, "user.registered", [Message(2), Message(3)])
            raise LookupError

    with pytest.raises(LookupError):
        publish_and_fail()
    assert application.rows() == []


def test_savepoints_in_savepoints_are_rolled_back_alone(application: Application, way: Way) -> None:
    outbox = application.outbox

    def publish_and_fail(target: Any) -> None:
        with target.begin_nested():
            outbox.publish(target, "user.registered", 2)
            with target.begin_nested():
                outbox.publish_many(target, "user.registered", [Message(3), Message(4)])
            raise LookupError

    with way(application.engine) as target, target.begin_nested():
        outer = outbox.publish(target, "user.registered", 1)
        with pytest.raises(LookupError):
            publish_and_fail(target)
        later = outbox.publish(target, "user.registered", 5)
    assert [row.id for row in application.rows()] == [outer, later]


def test_a_flush_in_a_savepoint_is_rolled_back_with_it(application: Application) -> None:
    with application.session() as session:
        with session.begin_nested() as savepoint:
            application.outbox.publish(session, "user.registered", 1)
            session.flush()
            savepoint.rollback()
        session.commit()
    assert application.rows() == []


def test_a_test_s_own_outer_transaction_keeps_the_tasks_in(application: Application) -> None:
    """The recipe of test suites: a session's commit becomes a savepoint of a connection that is rolled back."""
    with application.engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            task_id = application.outbox.publish(session, "user.registered", 1)
            application.outbox.publish_many(session, "user.registered", [Message(2), Message(3)])
            session.commit()
            rows = connection.execute(application.outbox.tasks.select()).all()
            assert task_id in {row.id for row in rows}
            assert len(rows) == 3
        outer.rollback()
    assert application.rows() == []
