"""A handler in a transaction of the application's own: its effect and the outcome of its task are there, or neither."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, insert, select

from asyncflow.errors import OptionError
from asyncflow.events import HandlerFailedLate
from tests.support.application import Application

Ends = Callable[[Connection], None]


class LostError(Exception):
    """Be what a driver raises whose connection is gone."""


class Enclosed:
    """Have an application with a transaction of its own, which ends as the test wants it."""

    def __init__(self, engine: object) -> None:
        self.ends: list[Ends] = []  # one for each transaction; the others commit
        self.begun: list[Connection] = []
        self.here = threading.local()  # each handler's own, for two may work side by side
        self.application = Application(engine, transaction=self.transaction)  # type: ignore[arg-type]
        self.calls: list[int] = []

        @self.application.outbox.task(transactional=True, retry_interval_seconds=0)
        def register(number: int) -> None:
            self.calls.append(number)
            self.here.connection.execute(insert(self.application.users), {"account_no": str(number)})

        self.register = register

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with self.application.engine.connect() as connection:
            self.begun.append(connection)
            self.here.connection = connection
            yield connection
            (self.ends.pop(0) if self.ends else Connection.commit)(connection)

    def registered(self) -> list[str]:
        return [row.account_no for row in self.application.rows(select(self.application.users))]


@pytest.fixture
def enclosed(engine: object) -> Enclosed:
    enclosed = Enclosed(engine)
    with enclosed.application.session() as session:
        enclosed.register.enqueue(session, number=1)
        session.commit()
    return enclosed


def drained(enclosed: Enclosed) -> list[int]:
    scheduler = enclosed.application.scheduler()
    try:
        scheduler.drain()
    finally:
        scheduler.stop()
    return enclosed.application.statuses()


def test_effect_and_outcome_are_written_in_one_transaction(enclosed: Enclosed) -> None:
    assert drained(enclosed) == [2]
    assert (enclosed.registered(), enclosed.calls, len(enclosed.begun)) == (["1"], [1], 1)


def test_a_commit_that_happened_and_was_not_heard_of_is_not_done_again(enclosed: Enclosed) -> None:
    def lose_the_answer(connection: Connection) -> None:
        connection.commit()
        raise LostError("the server is gone")

    enclosed.ends = [lose_the_answer]
    assert drained(enclosed) == [2]
    assert (enclosed.registered(), enclosed.calls) == (["1"], [1])
    assert len(enclosed.application.signals.of(HandlerFailedLate)) == 1


def test_a_commit_that_did_not_happen_is_done_again(enclosed: Enclosed) -> None:
    def lose(connection: Connection) -> None:
        connection.rollback()
        raise LostError("the server is gone")

    enclosed.ends = [lose]
    assert drained(enclosed) == [2]
    assert (enclosed.registered(), enclosed.calls) == (["1"], [1, 1])


def test_a_claim_that_is_lost_takes_the_effect_with_it(enclosed: Enclosed) -> None:
    tasks = enclosed.application.outbox.tasks

    @enclosed.application.outbox.task(transactional=True)
    def lose() -> None:
        enclosed.here.connection.execute(insert(enclosed.application.users), {"account_no": "nobody"})
        enclosed.here.connection.execute(tasks.delete().where(tasks.c.task_type == "lose"))

    with enclosed.application.session() as session:
        lose.enqueue(session)
        session.commit()
    drained(enclosed)
    assert "nobody" not in enclosed.registered()


def test_a_coroutine_has_no_transaction_of_a_thread(sqlite_engine: object) -> None:
    with pytest.raises(OptionError, match="has no parameter 'session'"):

        @Enclosed(sqlite_engine).application.outbox.task(transactional=True)
        async def register_later() -> None: ...


def test_without_a_transaction_of_the_application_s_a_session_is_needed(sqlite_application: Application) -> None:
    with pytest.raises(OptionError, match="has no parameter 'session'"):

        @sqlite_application.outbox.task(transactional=True)
        def register_later() -> None: ...
