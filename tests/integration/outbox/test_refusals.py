"""Bad input is refused at the door: nothing is written, and the transaction goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from asyncflow import Message
from asyncflow.errors import (
    InvalidDelayError,
    InvalidHeadersError,
    InvalidKeyError,
    InvalidPriorityError,
    InvalidTaskTypeError,
    OptionError,
    PayloadMissingError,
    PayloadNotSerializableError,
    PayloadTooLargeError,
    RefusedError,
    UnknownOptionError,
    UnknownTaskTypeError,
)
from tests.integration.outbox.watch import statements_of
from tests.integration.outbox.ways import Way
from tests.support.application import Application

NAN = float("nan")

REFUSALS: list[tuple[type[RefusedError], str, dict[str, Any]]] = [
    (PayloadMissingError, "payload", {"payload": None}),
    (PayloadNotSerializableError, "payload", {"payload": {1, 2}}),
    (PayloadNotSerializableError, "payload", {"payload": {"amount": NAN}}),
    (PayloadNotSerializableError, "payload", {"payload": "\ud800"}),
    (PayloadNotSerializableError, "payload", {"payload": 2**64}),
    (PayloadNotSerializableError, "payload", {"payload": {1: 1}}),
    (PayloadTooLargeError, "payload", {"payload": b"a" * (1024 * 1024 + 1)}),
    (InvalidKeyError, "key", {"key": ""}),
    (InvalidKeyError, "key", {"key": "a" * 256}),
    (InvalidKeyError, "key", {"key": "😀" * 256}),
    (InvalidKeyError, "key", {"key": "a\x00b"}),
    (InvalidKeyError, "key", {"key": "a "}),
    (InvalidKeyError, "key", {"key": 1001}),
    (InvalidHeadersError, "header", {"headers": {"a": 1}}),
    (InvalidHeadersError, "header", {"headers": {"message-id": "a"}}),
    (InvalidHeadersError, "content_type", {"content_type": ""}),
    (InvalidPriorityError, "priority", {"priority": -1}),
    (InvalidPriorityError, "priority", {"priority": 10**9}),
    (InvalidDelayError, "delay_seconds", {"delay_seconds": -1}),
    (InvalidDelayError, "delay_seconds", {"delay_seconds": NAN}),
    (InvalidDelayError, "delay_seconds", {"delay_seconds": timedelta(days=36500)}),
]


def require_nothing_but_the_user(application: Application) -> None:
    assert application.rows() == []
    assert application.rows(select(application.User.account_no)) == [("A1001",)]


def test_a_refused_task_leaves_nothing_and_the_transaction_goes_on(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        target.execute(insert(application.User).values(account_no="A1001"))
        with statements_of(application.engine) as sent:
            for error, field, values in REFUSALS:
                with pytest.raises(error, match=field):
                    application.outbox.publish(target, "user.registered", **{"payload": 1, **values})
        assert sent == []
    require_nothing_but_the_user(application)


def test_a_refused_message_of_many_leaves_none_of_them(application: Application, way: Way) -> None:
    with way(application.engine) as target:
        target.execute(insert(application.User).values(account_no="A1001"))
        with statements_of(application.engine) as sent:
            for error, field, values in REFUSALS:
                messages = [Message(1), Message(2), Message(**{"payload": 3, **values})]
                with pytest.raises(error, match=field):
                    application.outbox.publish_many(target, "user.registered", messages)
        assert sent == []
    require_nothing_but_the_user(application)


@pytest.mark.parametrize(
    ("task_type", "error"),
    [
        ("user.registred", UnknownTaskTypeError),
        ("User.registered", UnknownTaskTypeError),
        ("", InvalidTaskTypeError),
        (None, InvalidTaskTypeError),
    ],
)
def test_a_refused_type_leaves_nothing(application: Application, task_type: Any, error: type[Exception]) -> None:
    with application.session() as session:
        session.add(application.User(account_no="A1001"))
        with pytest.raises(error, match=r"task.type"):
            application.outbox.publish(session, task_type, 1)
        with pytest.raises(error, match=r"task.type"):
            application.outbox.publish_many(session, task_type, [Message(1)])
        session.commit()
    require_nothing_but_the_user(application)


@pytest.mark.parametrize("messages", [None, 5, Message(1), [Message(1), None], [Message(1), {"payload": 1}], "text"])
def test_what_is_no_list_of_messages_leaves_nothing(application: Application, messages: Any) -> None:
    with application.session() as session:
        session.add(application.User(account_no="A1001"))
        with pytest.raises(OptionError, match=r"^messages (is|holds) .*; give .*Message"):
            application.outbox.publish_many(session, "user.registered", messages)
        session.commit()
    require_nothing_but_the_user(application)


def test_an_unknown_option_leaves_nothing_and_names_the_nearest(application: Application) -> None:
    with application.session() as session:
        session.add(application.User(account_no="A1001"))
        with pytest.raises(UnknownOptionError, match=r"no option 'delay' \(did you mean 'delay_seconds'\?\)"):
            application.outbox.publish(session, "user.registered", 1, delay=5)  # type: ignore[arg-type]
        session.commit()
    require_nothing_but_the_user(application)


def test_the_limit_of_a_message_is_an_option(sqlite_engine: Any) -> None:
    application = Application(sqlite_engine, max_message_bytes=10)
    with application.session() as session:
        application.outbox.publish(session, "user.registered", b"a" * 10, content_type="application/json")
        with pytest.raises(PayloadTooLargeError, match=r"the message is 11 bytes .* the limit is 10"):
            application.outbox.publish(session, "user.registered", b"a" * 11, content_type="application/json")
        session.commit()
    assert len(application.rows()) == 1


KEYS = ["a" * 255, "😀" * 255, "a b", "-", "ключ", "it's", "100%", "back\\slash"]


def test_keys_are_kept_exactly(application: Application) -> None:
    with application.session() as session:
        for key in KEYS:
            application.outbox.publish(session, "user.registered", 1, key=key)
        application.outbox.publish_many(session, "user.registered", [Message(1, key=key) for key in KEYS])
        session.commit()
    assert [row.task_key for row in application.rows()] == KEYS * 2
