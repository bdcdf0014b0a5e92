"""Behind PgBouncer's transactions a scheduler works, waits for no lock, and leaves no session of strangers changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, make_url, select, text
from sqlalchemy.orm import Session

from asyncflow import Call, Message, Scheduler, Status
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application
from tests.support.databases import fresh_database
from tests.support.pgbouncer import pooled
from tests.unit.scheduler.waiting import eventually

OPTIONS: dict[str, Any] = {"lease_seconds": 60.0, "heartbeat_seconds": 0.5, "tick": 0.2}
SETTINGS = "SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')"


@pytest.fixture(scope="module")
def pooler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Give an engine that reaches its database through the pooler."""
    with fresh_database("postgresql", tmp_path_factory.mktemp("pooled")) as url, pooled(make_url(url)) as address:
        engine = create_engine(address, pool_size=20, connect_args={"prepare_threshold": None})
        yield engine
        engine.dispose()


@pytest.fixture
def direct(pooler: Engine) -> Iterator[Application]:
    """Give an application whose tables are made anew."""
    application = Application(pooler)
    yield application
    application.Base.metadata.drop_all(pooler)


def counts(application: Application) -> dict[int, int]:
    return dict(Counter(application.statuses()))


def test_what_is_published_and_enqueued_is_done_once(direct: Application) -> None:
    outbox, publisher = direct.outbox, MemoryPublisher()

    @outbox.task(transactional=True)
    def note(session: Session, text: str) -> None:
        session.add(direct.User(account_no=text))

    with direct.session() as session, session.begin():
        outbox.publish_many(session, "user.registered", [Message({"n": number}) for number in range(300)])
        outbox.enqueue_many(session, note, [Call({"text": str(number)}) for number in range(300)])
    with Scheduler(direct.engine, outbox, {"kafka": publisher}, **OPTIONS):
        eventually(lambda: counts(direct) == {Status.SUCCESS: 600})
    assert len(publisher.records) == 300
    users = direct.Base.metadata.tables["users"]
    assert sorted(user.account_no for user in direct.rows(users.select())) == sorted(map(str, range(300)))


def test_a_locked_row_waits_alone(direct: Application) -> None:
    outbox, publisher, tasks = direct.outbox, MemoryPublisher(), direct.outbox.tasks
    with direct.session() as session, session.begin():
        outbox.publish_many(session, "user.registered", [Message({"n": number}) for number in range(100)])
    with direct.engine.connect() as holder, Scheduler(direct.engine, outbox, {"kafka": publisher}, **OPTIONS):
        holder.execute(select(tasks.c.id).limit(1).with_for_update(skip_locked=True))
        with direct.session() as session, session.begin():
            outbox.publish_many(session, "user.registered", [Message({"n": number}) for number in range(100, 200)])
        eventually(lambda: counts(direct).get(Status.SUCCESS, 0) >= 199)
        holder.rollback()
        eventually(lambda: counts(direct) == {Status.SUCCESS: 200})


def test_nothing_is_left_set_on_sessions_that_others_get(direct: Application) -> None:
    with direct.engine.connect() as connection:
        before = connection.execute(text(SETTINGS)).one()
    publisher = MemoryPublisher()
    with direct.session() as session, session.begin():
        direct.outbox.publish(session, "user.registered", {"n": 1})
    Scheduler(direct.engine, direct.outbox, {"kafka": publisher}, **OPTIONS).drain()
    for _ in range(6):  # of the three sessions, whichever they are
        with direct.engine.connect() as connection:
            assert connection.execute(text(SETTINGS)).one() == before
