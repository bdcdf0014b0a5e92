"""Publishing from within a session's own events, where applications hide their outbox."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from asyncflow import Message
from tests.support.application import Application


def register_two(application: Application, session: Session) -> None:
    session.add_all([application.User(account_no="A1"), application.User(account_no="A2")])


def new_users(application: Application, session: Session) -> list[str]:
    return sorted(found.account_no for found in session.new if isinstance(found, application.User))


def keys(application: Application) -> list[str]:
    return sorted(row.task_key for row in application.rows())


@pytest.mark.parametrize("moment", ["before_flush", "after_flush"])
def test_a_task_for_each_new_object_of_a_flush(application: Application, moment: str) -> None:
    def publish(session: Session, *_: Any) -> None:
        for account_no in new_users(application, session):
            application.outbox.publish(session, "user.registered", 1, key=account_no)

    with application.session() as session:
        event.listen(session, moment, publish)
        register_two(application, session)
        session.commit()
    assert keys(application) == ["A1", "A2"]


@pytest.mark.parametrize("moment", ["before_flush", "after_flush", "after_flush_postexec"])
def test_a_bulk_from_within_a_flush_joins_its_transaction(application: Application, moment: str) -> None:
    done: list[int] = []

    def publish(session: Session, *_: Any) -> None:
        if not done:
            done.append(1)
            messages = [Message(1, key="A1"), Message(2, key="A2")]
            application.outbox.publish_many(session, "user.registered", messages)

    with application.session() as session:
        event.listen(session, moment, publish)
        register_two(application, session)
        session.flush()
        session.rollback()
        assert application.rows() == []
        done.clear()
        register_two(application, session)
        session.commit()
    assert keys(application) == ["A1", "A2"]


def test_a_task_published_before_commit_is_part_of_it(application: Application) -> None:
    def publish(session: Session) -> None:
        application.outbox.publish(session, "user.registered", 1, key="late")

    with application.session() as session:
        event.listen(session, "before_commit", publish)
        session.add(application.User(account_no="A1"))
        session.commit()
    assert keys(application) == ["late"]


def test_a_mapper_s_event_publishes_on_the_connection_of_the_flush(application: Application) -> None:
    def publish(mapper: Any, connection: Any, user: Any) -> None:
        application.outbox.publish(connection, "user.registered", {"a": 1}, key=user.account_no)

    event.listen(application.User, "after_insert", publish)
    with application.session() as session:
        register_two(application, session)
        session.commit()
        session.add(application.User(account_no="A3"))
        session.flush()
        session.rollback()
    assert keys(application) == ["A1", "A2"]


def test_a_refusal_from_within_a_flush_rolls_all_back(application: Application) -> None:
    from asyncflow.errors import PayloadNotSerializableError

    def publish(session: Session, *_: Any) -> None:
        application.outbox.publish(session, "user.registered", {1, 2})

    with application.session() as session:
        event.listen(session, "before_flush", publish)
        register_two(application, session)
        with pytest.raises(PayloadNotSerializableError):
            session.commit()
        session.rollback()
        assert session.query(application.User).count() == 0
    assert application.rows() == []


def test_a_listener_that_reads_the_table_of_any_object_meets_no_error(
    application: Application,
) -> None:
    seen: list[tuple[str, str, list[object]]] = []
    with application.session() as session:

        def look(one: Session, *_: object) -> None:
            for row in one.new:
                columns = [getattr(row, column.key) for column in row.__table__.columns]
                seen.append((row.__tablename__, row.__table__.name, columns))

        event.listen(session, "before_flush", look)
        application.outbox.publish(session, "user.registered", {})
        session.commit()
    ((name, table, columns),) = seen
    assert name == table == "asyncflow_task"
    assert len(columns) == len(application.outbox.tasks.c)
