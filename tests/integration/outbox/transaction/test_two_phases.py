"""A transaction of two phases: prepared by one call, committed or rolled back by another."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from asyncflow.outbox.status import Status
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application

pytestmark = pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
TYPES = ["user.registered", "ordered"]


def publish(application: Application, session: Session, name: str, **options: Any) -> None:
    application.outbox.publish(session, name, {"n": 1}, key="A1", **options)


@pytest.mark.parametrize("prepares", [False, True], ids=["committed", "prepared before"])
def test_tasks_are_there_exactly_if_the_second_phase_commits(application: Application, prepares: bool) -> None:
    application.outbox.message("ordered", ordered=True)
    for ends_well in (False, True):
        with Session(application.engine, twophase=True) as session:
            for name in TYPES:
                publish(application, session, name)
            publish(application, session, "user.registered", idempotency_key="once")
            session.add(application.User(account_no=f"A{ends_well}"))
            if prepares:
                session.flush()
                session.prepare()
            if ends_well:
                session.commit()
            else:
                session.rollback()
    assert application.rows(select(func.count()).select_from(application.User)) == [(1,)]
    publisher = MemoryPublisher()
    done = application.scheduler(publisher).drain(raise_errors=True)
    assert done.sent == 3
    assert application.statuses() == [Status.SUCCESS] * 3


@pytest.mark.parametrize("prepares", [False, True], ids=["committed", "prepared before"])
def test_the_second_phase_of_a_connection_wakes_the_scheduler_and_its_rollback_does_not(
    application: Application, prepares: bool
) -> None:
    woken: list[frozenset[str]] = []
    application.outbox.bell.connect(woken.append)
    for end in ("rollback", "commit", "close"):
        with application.engine.connect() as connection:
            transaction = connection.begin_twophase()
            application.outbox.publish(connection, "user.registered", {})
            if prepares:
                transaction.prepare()
            assert woken == []
            getattr(transaction, end)()
            assert woken == ([frozenset({"user.registered"})] if end == "commit" else [])
            woken.clear()
            connection.execute(select(1))
            connection.commit()
            assert woken == [], "what is over rings with no later commit"


def test_a_commit_of_two_phases_wakes_the_scheduler(application: Application) -> None:
    woken: list[frozenset[str]] = []
    application.outbox.bell.connect(woken.append)
    with Session(application.engine, twophase=True) as session:
        publish(application, session, "user.registered")
        session.prepare()
        assert woken == []
        session.commit()
    assert woken == [frozenset({"user.registered"})]
