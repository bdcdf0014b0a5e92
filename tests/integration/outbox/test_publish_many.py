"""Many messages in few statements, all or none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import scoped_session, sessionmaker

from asyncflow import Message
from asyncflow.errors import InvalidKeyError
from asyncflow.outbox.message import MAX_MESSAGE_BYTES
from tests.integration.outbox.watch import checkouts_of, statements_of
from tests.integration.outbox.ways import Way
from tests.support.application import Application


def messages(count: int) -> list[Message]:
    return [Message({"number": number}, key=f"A{number}") for number in range(count)]


def test_ids_come_in_the_order_of_the_messages(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        ids = application.outbox.publish_many(target, "user.registered", messages(10))
    by_id = {row.id: row.task_key for row in application.rows()}
    assert [by_id[task_id] for task_id in ids] == [f"A{number}" for number in range(10)]


@pytest.mark.parametrize("count", [0, 1, 2, 499, 500, 501, 3000])
def test_any_number_of_messages_is_written(application: Application, count: int) -> None:
    with application.session() as session:
        ids = application.outbox.publish_many(session, "user.registered", messages(count))
        session.commit()
    rows = application.rows()
    assert [row.id for row in rows] == sorted(ids)
    assert {row.task_key for row in rows} == {f"A{number}" for number in range(count)}


def test_no_messages_send_nothing(application: Application, way: Way) -> None:
    with way(application.engine) as target, statements_of(application.engine) as sent:
        assert application.outbox.publish_many(target, "user.registered", []) == []
        assert sent == []


def test_a_generator_of_messages_will_do(application: Application, way: Way) -> None:
    def generated() -> Iterator[Message]:
        yield from messages(3)

    with way(application.engine) as target:
        assert len(application.outbox.publish_many(target, "user.registered", generated())) == 3
    assert len(application.rows()) == 3


def test_messages_are_written_at_once_and_in_few_statements(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        application.outbox.publish(target, "user.registered", 1)
        with statements_of(application.engine) as sent:
            application.outbox.publish_many(target, "user.registered", messages(1001))
        assert 1 <= len(sent) <= 3
    assert len(application.rows()) == 1002


def test_large_payloads_travel_in_several_statements(application: Application) -> None:
    bodies = [bytes([number]) * (MAX_MESSAGE_BYTES - 100) for number in range(12)]
    with application.session() as session:
        ids = application.outbox.publish_many(session, "user.registered", [Message(body) for body in bodies])
        session.commit()
    by_id = {row.id: row.payload for row in application.rows()}
    assert [by_id[task_id] for task_id in ids] == bodies


def test_each_message_has_its_own_options(application: Application, way: Way) -> None:
    given = [
        Message(1, key="A1", headers={"trace": "1"}, priority=5),
        Message(b"a", delay_seconds=60, content_type="text/plain"),
        Message([None]),
    ]
    with way(application.engine) as target:
        application.outbox.publish_many(target, "user.registered", given)
    rows = application.rows()
    assert [row.payload for row in rows] == [b"1", b"a", b"[null]"]
    assert [row.task_key for row in rows] == ["A1", None, None]
    assert [row.headers for row in rows] == ['{"trace":"1"}', '{"content-type":"text/plain"}', None]
    assert [row.priority for row in rows] == [5, 0, 0]
    assert [round((row.next_select_time - row.created_at).total_seconds()) for row in rows] == [0, 60, 0]


def test_one_bad_message_of_many_keeps_all_out(application: Application, way: Way) -> None:
    with way(application.engine) as target, statements_of(application.engine) as sent:
        with pytest.raises(InvalidKeyError):
            application.outbox.publish_many(target, "user.registered", [*messages(600), Message(1, key="")])
        assert sent == []
    assert application.rows() == []


def test_a_generator_that_raises_keeps_all_out(application: Application, way: Way) -> None:
    def failing() -> Iterator[Message]:
        yield Message(1)
        raise LookupError("no such account")

    with way(application.engine) as target, pytest.raises(LookupError):
        application.outbox.publish_many(target, "user.registered", failing())
    assert application.rows() == []


def test_the_session_s_own_connection_is_used(application: Application) -> None:
    with application.session() as session, checkouts_of(application.engine) as taken:
        application.outbox.publish_many(session, "user.registered", messages(3))
        application.outbox.publish_many(session, "user.registered", messages(3))
        session.commit()
    assert len(taken) == 1
    assert len(application.rows()) == 6


def test_pending_objects_of_the_session_are_not_flushed(application: Application) -> None:
    with application.session() as session:
        user = application.User(account_no="A1001")
        session.add(user)
        application.outbox.publish_many(session, "user.registered", messages(3))
        assert user in session.new
        session.rollback()
    assert application.rows() == []


def test_a_scoped_session_takes_a_bulk_at_once(application: Application) -> None:
    registry = scoped_session(sessionmaker(application.engine))
    application.outbox.publish_many(registry, "user.registered", messages(3))
    assert not registry.new
    registry.commit()
    registry.remove()
    assert len(application.rows()) == 3
