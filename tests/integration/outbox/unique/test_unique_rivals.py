"""Transactions with one unique key at the same time: one enqueues, the others wait and find its task."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from asyncflow import Status
from asyncflow.outbox.dialects import dialect_of
from tests.integration.outbox.dialects.test_contention import IMPATIENCE
from tests.integration.outbox.test_inbox_rivals import Rival, await_its_wait
from tests.integration.outbox.unique.test_unique_keys import enqueue, enqueued, ids, set_status
from tests.support.application import Application

LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


@pytest.fixture
def application(application: Application) -> Application:
    @application.outbox.task
    def rebuild(account_no: str) -> None: ...

    return application


class Second(Rival):
    """Enqueue with a key in a thread of its own, at an isolation level, having read before."""

    def __init__(self, application: Application, level: str) -> None:
        super().__init__(application, "k")
        self._level = level
        self.has_read = threading.Event()
        self.may_write = threading.Event()

    def enqueue(self) -> UUID:
        application = self._application
        with application.session() as session, session.begin():
            if application.engine.dialect.name != "sqlite":  # where a reader can become no writer behind another one
                session.connection(execution_options={"isolation_level": self._level})
                session.execute(select(application.User)).all()
            self.has_read.set()
            assert self.may_write.wait(60)
            event.listen(session.connection(), "before_cursor_execute", lambda *_: self.asked.set())
            return enqueue(application, session, "k")


def race(application: Application, end: Callable[[Session], None], level: str) -> tuple[UUID, Future[UUID]]:
    """Let a second one use the key of an open transaction; return the first one's id and the second one's answer."""
    if (application.engine.dialect.name, level) == ("mysql", "SERIALIZABLE"):
        pytest.skip("there every read locks, and it waits in the first one already")
    second = Second(application, level)
    with ThreadPoolExecutor(1) as threads, application.session() as session:
        answer = threads.submit(second.enqueue)
        assert second.has_read.wait(60)
        first = enqueue(application, session, "k")
        second.may_write.set()
        await_its_wait(application.engine, second)
        assert not answer.done()
        end(session)
    return first, answer


def found_or_told_to_try_again(application: Application, answer: Future[UUID], task_id: UUID, level: str) -> None:
    error = answer.exception()
    if error is None:
        assert answer.result() == task_id
    else:  # what a transaction with a view of its own is told, and what its caller retries
        assert level != "READ COMMITTED"
        assert isinstance(error, DBAPIError)
        assert dialect_of(application.engine.dialect.name).is_contention(error)


@pytest.mark.parametrize("level", LEVELS)
def test_the_later_one_waits_and_finds_the_firsts_task_or_may_try_again(application: Application, level: str) -> None:
    first, answer = race(application, Session.commit, level)
    found_or_told_to_try_again(application, answer, first, level)
    assert ids(application) == [first]


@pytest.mark.parametrize("level", LEVELS)
def test_the_later_one_waits_and_enqueues_if_the_first_rolls_back(application: Application, level: str) -> None:
    first, answer = race(application, Session.rollback, level)
    assert answer.result() != first
    assert ids(application) == [answer.result()]


@pytest.mark.parametrize("level", LEVELS)
def test_of_two_that_find_a_key_free_again_one_enqueues(application: Application, level: str) -> None:
    enqueued(application)
    set_status(application, Status.SUCCESS)
    first, answer = race(application, Session.commit, level)
    found_or_told_to_try_again(application, answer, first, level)
    assert ids(application)[1:] == [first]


@on_servers
@pytest.mark.parametrize("level", LEVELS[:2])
def test_what_an_old_view_shows_at_work_has_no_key_when_it_has_ended(application: Application, level: str) -> None:
    first = enqueued(application)
    set_status(application, Status.PROCESSING)
    with application.session() as session:
        session.connection(execution_options={"isolation_level": level})
        session.execute(select(application.outbox.tasks.c.status)).all()
        set_status(application, Status.SUCCESS)
        if (application.engine.dialect.name, level) == ("postgresql", "REPEATABLE READ"):
            with pytest.raises(DBAPIError) as told:
                enqueue(application, session, "k")
            assert dialect_of("postgresql").is_contention(told.value)
        else:
            second = enqueue(application, session, "k")
            session.commit()
            assert ids(application) == [first, second]


@on_servers
def test_many_may_find_a_task_at_once_and_wait_for_none_of_each_other(application: Application) -> None:
    first = enqueued(application)
    sessions = [application.session() for _ in range(3)]
    try:
        for session in sessions:
            session.execute(text(IMPATIENCE[application.engine.dialect.name]))
            assert enqueue(application, session, "k") == first
    finally:
        for session in sessions:
            session.connection().invalidate()
            session.close()


@on_servers
@pytest.mark.parametrize("level", LEVELS[:2])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_key_in_use_holds_up_no_other_keys(application: Application, level: str, is_new: bool) -> None:
    for key in "bdf":
        enqueued(application, key)
    if not is_new:
        enqueued(application, "c")
        set_status(application, Status.SUCCESS)
    with application.session() as open_one:
        enqueue(application, open_one, "c")
        with application.engine.connect().execution_options(isolation_level=level) as connection:
            connection.execute(text(IMPATIENCE[connection.dialect.name]))
            for key in "bdfeg":
                enqueue(application, connection, key)
            connection.invalidate()
        open_one.rollback()


def living(application: Application) -> Counter[str]:
    tasks = application.outbox.tasks
    rows = application.rows(select(tasks.c.task_key).where(tasks.c.status.in_([0, 1])))
    return Counter(row.task_key for row in rows)


# At REPEATABLE READ, PostgreSQL tells whoever comes later to begin anew.
@pytest.mark.parametrize(
    ("database_url", "level"),
    [("sqlite", None), ("mariadb", "READ COMMITTED"), ("mariadb", "REPEATABLE READ"), ("postgresql", "READ COMMITTED")],
    indirect=["database_url"],
)
@pytest.mark.parametrize("keys", [1, 4])
def test_among_many_rivals_and_tasks_that_end_no_key_is_had_twice_and_nobody_is_thrown_out(
    application: Application, level: str | None, keys: int
) -> None:
    rivals, rounds = 4, 40
    start, over = threading.Barrier(rivals + 1, timeout=120), threading.Event()
    has_ended_some, until = threading.Event(), time.monotonic() + 200
    tasks = application.outbox.tasks
    seen: list[Counter[str]] = []

    def enqueue_again(seed: int) -> int:
        chance, committed = random.Random(seed), 0
        start.wait()
        left = rounds
        while left and time.monotonic() < until:
            left -= left > rounds // 4 or has_ended_some.is_set()  # SQLite may let the one who ends them wait for long
            key = f"k{chance.randrange(keys)}"
            with application.session() as session:
                if level is not None:
                    session.connection(execution_options={"isolation_level": level})
                    session.execute(select(application.User)).all()
                enqueue(application, session, key, key=key)
                if chance.random() < 0.1:
                    session.rollback()
                    continue
                session.commit()
                committed += 1
        return committed

    def end_some() -> None:
        start.wait()
        statuses = [Status.SUCCESS, Status.FAILED, Status.CANCELLED]
        for number in range(100_000):
            if over.is_set():
                return
            seen.append(living(application))
            for row in application.rows(select(tasks.c.id).where(tasks.c.status == 0)):
                with application.engine.begin() as connection:
                    ended: dict[str, Any] = {"status": int(statuses[number % 3])}
                    connection.execute(update(tasks).where(tasks.c.id == row.id, tasks.c.status == 0).values(ended))
                has_ended_some.set()

    for number in range(keys):  # of a first use that is rolled back, InnoDB may tell one of several to try again
        enqueued(application, f"k{number}", key=f"k{number}")
    with ThreadPoolExecutor(rivals + 1) as threads:
        ender = threads.submit(end_some)
        try:
            got = [future.result(300) for future in [threads.submit(enqueue_again, seed) for seed in range(rivals)]]
        finally:
            over.set()
        ender.result(120)
    assert sum(got) > rivals
    assert max(max(counts.values(), default=0) for counts in [*seen, living(application)]) == 1
    assert len(ids(application)) > keys
