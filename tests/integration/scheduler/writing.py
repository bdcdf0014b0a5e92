"""Short ways to write tasks and to change rows behind the scheduler's back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, MetaData, event, text
from sqlalchemy.orm import Session

from asyncflow import Message, Outbox
from tests.support.application import Application
from tests.support.options import RetryTimes

REGISTERED = "user.registered"
# Declared with this, a retry is due long after a drain has ended, however slow the machine is.
FAR: RetryTimes = {"retry_interval_seconds": 600, "max_retry_interval_seconds": 600}


def publish(application: Application, payload: Any = None, task_type: str = REGISTERED, **options: Any) -> UUID:
    """Publish one message in a transaction of its own."""
    payload = {"n": 1} if payload is None else payload
    with application.session() as session, session.begin():
        return application.outbox.publish(session, task_type, payload, **options)


def publish_many(application: Application, count: int, task_type: str = REGISTERED, **options: Any) -> list[UUID]:
    """Publish ``count`` messages {"n": 0} … in one transaction."""
    messages = [Message({"n": number}, **options) for number in range(count)]
    with application.session() as session, session.begin():
        return application.outbox.publish_many(session, task_type, messages)


def publish_foreign(engine: Engine, task_type: str) -> UUID:
    """Publish a message of a type that the application does not declare, as another process would."""
    outbox = Outbox(MetaData())
    outbox.message(task_type)
    with Session(engine) as session, session.begin():
        return outbox.publish(session, task_type, {"n": 1})


def alter(application: Application, assignment: str, where: str = "1 = 1", **values: Any) -> int:
    """Change task rows by hand; return how many."""
    with application.engine.begin() as connection:
        name = application.outbox.tasks.fullname
        return connection.execute(text(f"UPDATE {name} SET {assignment} WHERE {where}"), values).rowcount


def long_ago(application: Application, where: str = "1 = 1") -> int:
    """Let rows have been settled long ago."""
    return alter(application, "order_time = '2020-01-01 00:00:00.000000'", where)


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """Collect the statements that an engine sends."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def texts(ids: Iterable[UUID]) -> set[str]:
    """Return ids as the texts that travel."""
    return {str(each) for each in ids}
