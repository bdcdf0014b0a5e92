"""Two deliveries of one message at the same time: one takes it, the other one waits and then does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from tests.support.application import Application

WAITING = {
    "mysql": "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE 'INSERT %'",
    "postgresql": "SELECT COUNT(*) FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE datname = current_database() AND NOT granted",
}


class Rival:
    """Take a message in a thread of its own, and know when its INSERT was handed to the driver."""

    def __init__(self, application: Application, message_id: str) -> None:
        self._application = application
        self._message_id = message_id
        self.asked = threading.Event()

    def take(self) -> bool:
        with self._application.session() as session, session.begin():
            event.listen(session.connection(), "before_cursor_execute", lambda *_: self.asked.set())
            return self._application.inbox.process_once(session, self._message_id, consumer="points")


def await_its_wait(engine: Engine, rival: Rival) -> None:
    """Return when the rival waits for a lock, as far as the database can tell."""
    assert rival.asked.wait(60)
    statement = WAITING.get(engine.dialect.name)
    deadline = time.monotonic() + 60
    while statement and time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.execute(text(statement)).scalar_one():
                return
        time.sleep(0.01)
    assert statement is None, "the rival does not wait"


def race(application: Application, end: Callable[[Session], None]) -> tuple[bool, bool]:
    """Let a rival ask while the first transaction is open; return what both were told."""
    rival = Rival(application, "m1")
    answer: Future[bool]
    with ThreadPoolExecutor(1) as threads, application.session() as session:
        first = application.inbox.process_once(session, "m1", consumer="points")
        answer = threads.submit(rival.take)
        await_its_wait(application.engine, rival)
        assert not answer.done()
        end(session)
        return first, answer.result(120)


def test_the_later_one_waits_and_loses(application: Application) -> None:
    assert race(application, Session.commit) == (True, False)


def test_the_later_one_waits_and_has_the_message_if_the_first_rolls_back(application: Application) -> None:
    assert race(application, Session.rollback) == (True, True)


def test_another_message_does_not_wait(application: Application) -> None:
    with ThreadPoolExecutor(1) as threads, application.session() as session:
        assert application.inbox.process_once(session, "m1", consumer="points")
        answer = threads.submit(Rival(application, "m2").take)
        if application.engine.dialect.name != "sqlite":  # which has one writer at a time
            assert answer.result(60)
        session.commit()
        assert answer.result(60)


def test_of_many_rivals_one_has_each_message(application: Application) -> None:
    messages = [f"m{number}" for number in range(10)]
    start = threading.Barrier(4, timeout=60)

    def take_all() -> list[str]:
        start.wait()
        return [message for message in messages if Rival(application, message).take()]

    with ThreadPoolExecutor(4) as threads:
        taken = [future.result(240) for future in [threads.submit(take_all) for _ in range(4)]]
    assert sorted(message for messages in taken for message in messages) == sorted(messages)
