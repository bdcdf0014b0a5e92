"""Two transactions with one idempotency key at the same time: one enqueues, the other waits and finds its task."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from asyncflow import Message
from asyncflow.outbox.dialects import dialect_of
from tests.integration.outbox.dialects.test_contention import IMPATIENCE
from tests.integration.outbox.test_inbox_rivals import Rival, await_its_wait
from tests.support.application import Application

REGISTERED = "user.registered"
LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class Repeater(Rival):
    """Publish with a key in a thread of its own, at an isolation level, having read before."""

    def __init__(self, application: Application, level: str) -> None:
        super().__init__(application, "k")
        self._level = level
        self.has_read = threading.Event()
        self.may_write = threading.Event()

    def publish(self) -> UUID:
        application = self._application
        with application.session() as session, session.begin():
            if application.engine.dialect.name != "sqlite":  # where a reader can become no writer behind another one
                session.connection(execution_options={"isolation_level": self._level})
                session.execute(select(application.User)).all()
            self.has_read.set()
            assert self.may_write.wait(60)
            event.listen(session.connection(), "before_cursor_execute", lambda *_: self.asked.set())
            return application.outbox.publish(session, REGISTERED, 1, idempotency_key="k")


def race(application: Application, end: Callable[[Session], None], level: str) -> tuple[UUID, Future[UUID]]:
    """Let a rival use the key of an open transaction; return the first one's id and the rival's answer."""
    rival = Repeater(application, level)
    with ThreadPoolExecutor(1) as threads, application.session() as session:
        answer = threads.submit(rival.publish)
        assert rival.has_read.wait(60)
        first = application.outbox.publish(session, REGISTERED, 1, idempotency_key="k")
        rival.may_write.set()
        await_its_wait(application.engine, rival)
        assert not answer.done()
        end(session)
    return first, answer


@pytest.mark.parametrize("level", LEVELS)
def test_the_later_one_waits_and_finds_the_firsts_task_or_may_try_again(application: Application, level: str) -> None:
    first, answer = race(application, Session.commit, level)
    error = answer.exception()
    if error is None:
        assert answer.result() == first
    else:  # what a serializable transaction is told, and what its caller retries
        assert level != "READ COMMITTED"
        assert isinstance(error, DBAPIError)
        assert dialect_of(application.engine.dialect.name).is_contention(error)
    assert [row.id for row in application.rows()] == [first]


@pytest.mark.parametrize("level", LEVELS)
def test_the_later_one_waits_and_enqueues_if_the_first_rolls_back(application: Application, level: str) -> None:
    first, answer = race(application, Session.rollback, level)
    assert answer.result() != first
    assert [row.id for row in application.rows()] == [answer.result()]


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize("level", LEVELS)
def test_a_key_in_use_holds_up_no_other_keys(application: Application, level: str) -> None:
    keys = [f"k{number}" for number in range(40)]
    messages = [Message({}, idempotency_key=key) for key in keys]
    with application.session() as session, session.begin():
        before = application.outbox.publish_many(session, REGISTERED, messages)
    with application.session() as open_one:
        application.outbox.publish(open_one, REGISTERED, 1, idempotency_key="k7-and-another")
        with application.engine.connect().execution_options(isolation_level=level) as connection:
            connection.execute(text(IMPATIENCE[connection.dialect.name]))
            assert application.outbox.publish_many(connection, REGISTERED, messages) == before
            connection.invalidate()
        open_one.rollback()


def test_of_many_rivals_one_enqueues_each_key(application: Application) -> None:
    keys = [f"k{number}" for number in range(12)]
    start = threading.Barrier(4, timeout=60)

    def publish_all(seed: int) -> dict[str, UUID]:
        start.wait()
        chance = random.Random(seed)
        shuffled = chance.sample(keys, len(keys))
        return {key: publish_again(application, [key])[0] for key in shuffled}

    with ThreadPoolExecutor(4) as threads:
        got = [future.result(240) for future in [threads.submit(publish_all, seed) for seed in range(4)]]
    assert got == [got[0]] * 4
    assert sorted(row.id for row in application.rows()) == sorted(got[0].values())


def test_of_many_rival_bulks_one_enqueues_each_key(application: Application) -> None:
    keys = [f"k{number}" for number in range(50)]
    start = threading.Barrier(4, timeout=60)

    def publish_shuffled(seed: int) -> dict[str, UUID]:
        start.wait()
        chance = random.Random(seed)
        shuffled = chance.sample(keys, len(keys))
        return dict(zip(shuffled, publish_again(application, shuffled), strict=True))

    with ThreadPoolExecutor(4) as threads:
        got = [future.result(240) for future in [threads.submit(publish_shuffled, seed) for seed in range(4)]]
    assert got == [got[0]] * 4
    assert sorted(row.id for row in application.rows()) == sorted(got[0].values())


def publish_again(application: Application, keys: list[str]) -> list[UUID]:
    """Publish as an application does that retries its transactions."""
    messages = [Message(1, idempotency_key=key) for key in keys]
    dialect = dialect_of(application.engine.dialect.name)
    for _ in range(50):
        try:
            with application.session() as session, session.begin():
                return application.outbox.publish_many(session, REGISTERED, messages)
        except DBAPIError as error:
            if not dialect.is_contention(error):
                raise
            time.sleep(random.uniform(0, 0.02))
    raise AssertionError("always in contention")
