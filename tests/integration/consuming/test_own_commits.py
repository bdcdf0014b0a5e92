"""No commit parts what a subscriber does from the memory of its message; with a broker of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from asyncflow.errors import UnsettledEffectError
from asyncflow.events import AttemptFailed, HandlerFailedLate
from tests.support.application import Application
from tests.unit.consuming.test_queue_consumer import ScriptedConsumer, ScriptedQueue, received

QUICK: dict[str, Any] = {"retry_interval_seconds": 0, "max_retry_interval_seconds": 0, "max_retries": 3}
Way = Callable[[Session], object]


class Delivery:
    """Deliver one message to a subscriber that adds a user, and goes a way of the test's in its first attempt."""

    def __init__(self, application: Application, way: Way) -> None:
        self.events: list[Any] = []
        self.attempts = 0
        queue = ScriptedQueue()
        given = application.engine, application.outbox, application.inbox, [self.events.append], 3
        consumer = ScriptedConsumer(queue, *given)

        @consumer.subscribe("coupons", **QUICK)
        def coupons(session: Session) -> None:
            self.attempts += 1
            session.add(application.User(account_no=f"attempt {self.attempts}"))
            session.flush()
            if self.attempts == 1:
                way(session)

        queue.steps = [lambda: [received(0)], *[list] * 20]
        consumer.run()
        self.done = queue.done
        self.effects = application.rows(select(application.users.c.account_no))
        self.memories = len(application.rows(application.inbox.entries.select()))
        self.errors = [type(event.error) for event in self.events if isinstance(event, AttemptFailed)]
        self.late = [type(event.error) for event in self.events if isinstance(event, HandlerFailedLate)]


def raise_after_a_savepoint(session: Session) -> None:
    with session.begin_nested():
        session.execute(text("SELECT 1"))
    raise LookupError("not yet")


def raise_after_a_commit(session: Session) -> None:
    session.commit()
    raise LookupError("too late")


def commit_the_connection(session: Session) -> None:
    session.connection().commit()


def commit_the_connection_and_catch_it(session: Session) -> None:
    with suppress(Exception):
        session.connection().commit()


def commit_as_text(session: Session) -> None:
    session.execute(text("COMMIT"))


def roll_back_as_text(session: Session) -> None:
    session.execute(text("ROLLBACK"))


def catch_an_error(session: Session) -> None:
    with suppress(DBAPIError):
        session.execute(text("SELECT nothing FROM nowhere"))


def catch_an_error_and_commit(session: Session) -> None:
    catch_an_error(session)
    session.commit()


def catch_an_error_in_a_savepoint(session: Session) -> None:
    with suppress(DBAPIError), session.begin_nested():
        session.execute(text("SELECT nothing FROM nowhere"))


def lose_the_transaction_as_in_a_deadlock(session: Session) -> None:
    catch_an_error(session)
    connection = session.connection()
    connection.dialect.do_rollback(connection.connection)


def test_what_raises_after_a_savepoint_is_tried_again(application: Application) -> None:
    delivery = Delivery(application, raise_after_a_savepoint)
    assert (delivery.errors, delivery.late) == ([LookupError], [])
    assert (delivery.effects, delivery.memories, delivery.done) == ([("attempt 2",)], 1, ["0"])


def test_what_raises_after_its_commit_is_told_of_and_its_effect_is_there_once(application: Application) -> None:
    delivery = Delivery(application, raise_after_a_commit)
    assert (delivery.errors, delivery.late) == ([], [LookupError])
    assert (delivery.effects, delivery.memories, delivery.done) == ([("attempt 1",)], 1, ["0"])


@pytest.mark.parametrize(
    "way",
    [commit_the_connection, commit_the_connection_and_catch_it, commit_as_text, roll_back_as_text],
)
def test_what_would_end_the_transaction_past_the_session_is_refused(application: Application, way: Way) -> None:
    delivery = Delivery(application, way)
    assert delivery.errors == [UnsettledEffectError]
    assert (delivery.effects, delivery.memories, delivery.done) == ([("attempt 2",)], 1, ["0"])


@pytest.mark.parametrize("way", [catch_an_error, catch_an_error_and_commit])
def test_an_error_that_is_caught_undoes_nothing_in_silence(application: Application, way: Way) -> None:
    delivery = Delivery(application, way)
    is_undone = application.engine.dialect.name == "postgresql"  # which commits nothing after an error, without a word
    assert delivery.errors == ([UnsettledEffectError] if is_undone else [])
    assert delivery.effects == [("attempt 2" if is_undone else "attempt 1",)]
    assert (delivery.memories, delivery.done) == (1, ["0"])


def test_an_error_that_is_caught_around_a_savepoint_undoes_that_alone(application: Application) -> None:
    delivery = Delivery(application, catch_an_error_in_a_savepoint)
    assert (delivery.errors, delivery.effects, delivery.memories) == ([], [("attempt 1",)], 1)


def test_what_the_database_has_undone_for_an_error_does_not_take_the_message_along(application: Application) -> None:
    delivery = Delivery(application, lose_the_transaction_as_in_a_deadlock)
    assert delivery.errors == [UnsettledEffectError]
    assert (delivery.effects, delivery.memories, delivery.done) == ([("attempt 2",)], 1, ["0"])
