"""Tasks with unique keys at work: what an enqueue finds before, during and after their handlers."""

from __future__ import annotations

import threading
from uuid import UUID

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from asyncflow import Status
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

LONG = 120.0


def enqueue(application: Application, name: str = "rebuild", key: str | None = "k") -> UUID:
    with application.session() as session, session.begin():
        return application.outbox.enqueue(session, name, unique_key=key)


def statuses(application: Application) -> dict[UUID, int]:
    return {row.id: row.status for row in application.rows()}


@pytest.mark.parametrize("transactional", [False, True])
def test_while_its_handler_runs_there_is_no_second_one_and_afterwards_there_is(
    application: Application, transactional: bool
) -> None:
    begun, go = threading.Semaphore(0), threading.Event()

    def rebuild() -> None:
        begun.release()
        assert go.wait(LONG)

    def rebuild_within(session: Session) -> None:
        rebuild()

    application.outbox.task("rebuild", transactional=transactional)(rebuild_within if transactional else rebuild)

    first = enqueue(application)
    with application.scheduler():
        assert begun.acquire(timeout=LONG)
        assert enqueue(application) == first
        go.set()
        eventually(lambda: application.statuses() == [Status.SUCCESS])
        second = enqueue(application)
        eventually(lambda: statuses(application) == {first: Status.SUCCESS, second: Status.SUCCESS})


def test_a_handler_that_enqueues_its_own_key_finds_itself(application: Application) -> None:
    found: list[UUID] = []

    @application.outbox.task("rebuild", transactional=True)
    def rebuild(session: Session) -> None:
        found.append(application.outbox.enqueue(session, "rebuild", unique_key="k"))

    first = enqueue(application)
    assert application.scheduler().drain()
    assert found == [first]
    assert statuses(application) == {first: Status.SUCCESS}


def test_one_that_is_tried_again_keeps_its_key_until_its_attempts_are_spent(application: Application) -> None:
    found: list[UUID] = []

    @application.outbox.task("rebuild", max_retries=1, retry_interval_seconds=0)
    def rebuild() -> None:
        found.append(enqueue(application))
        raise RuntimeError("no")

    first = enqueue(application)
    with application.scheduler():
        eventually(lambda: application.statuses() == [Status.FAILED])
    assert found == [first] * 2
    assert enqueue(application) != first


def test_one_that_is_deleted_when_it_is_done_stays_while_its_key_may_be_asked_for(application: Application) -> None:
    application.outbox.task("rebuild")(lambda: None)
    first, other = enqueue(application), enqueue(application, key=None)
    application.scheduler(on_success="delete").drain()
    assert statuses(application) == {first: Status.SUCCESS}
    assert enqueue(application) not in (first, other)


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ"])
def test_one_that_was_found_waiting_begins_after_the_commit_and_sees_what_was_written(
    application: Application, level: str
) -> None:
    seen: list[list[str]] = []
    others = threading.Semaphore(0)

    @application.outbox.task("rebuild")
    def rebuild() -> None:
        seen.append([row.account_no for row in application.rows(select(application.users))])

    @application.outbox.task("other")
    def other() -> None:
        others.release()

    first = enqueue(application)
    with application.session() as session:
        session.connection(execution_options={"isolation_level": level})
        assert application.outbox.enqueue(session, "rebuild", unique_key="k") == first
        with application.scheduler():
            for _ in range(3):
                enqueue(application, "other", None)
                assert others.acquire(timeout=LONG)
            assert seen == []
            session.add(application.User(account_no="A1"))
            session.commit()
            eventually(lambda: seen == [["A1"]])
            eventually(lambda: statuses(application)[first] == Status.SUCCESS)


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize("transactional", [False, True])
def test_one_that_was_found_at_work_ends_while_its_caller_is_open(
    application: Application, transactional: bool
) -> None:
    begun, go = threading.Semaphore(0), threading.Event()

    def rebuild() -> None:
        begun.release()
        assert go.wait(LONG)

    def rebuild_within(session: Session) -> None:
        session.execute(update(application.users).values(account_no="A2"))
        rebuild()

    application.outbox.task("rebuild", transactional=transactional)(rebuild_within if transactional else rebuild)
    first = enqueue(application)
    with application.scheduler():
        assert begun.acquire(timeout=LONG)
        with application.session() as session:
            session.connection(execution_options={"isolation_level": "READ COMMITTED"})
            assert application.outbox.enqueue(session, "rebuild", unique_key="k") == first
            go.set()
            eventually(lambda: application.statuses() == [Status.SUCCESS])
            assert application.outbox.enqueue(session, "rebuild", unique_key="k") != first


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_handler_and_a_caller_that_found_it_at_work_may_want_the_same_row(application: Application) -> None:
    begun, asked = threading.Semaphore(0), threading.Event()

    @application.outbox.task("rebuild", transactional=True)
    def rebuild(session: Session) -> None:
        session.execute(update(application.users).values(account_no="A2"))
        begun.release()
        assert asked.wait(LONG)

    with application.session() as session, session.begin():
        session.add(application.User(account_no="A1"))
    first = enqueue(application)
    with application.scheduler():
        assert begun.acquire(timeout=LONG)
        with application.session() as session, session.begin():
            connection = session.connection(execution_options={"isolation_level": "READ COMMITTED"})
            assert application.outbox.enqueue(session, "rebuild", unique_key="k") == first
            event.listen(connection, "before_cursor_execute", lambda *_: asked.set())
            session.execute(update(application.users).values(account_no="A3"))
        eventually(lambda: application.statuses() == [Status.SUCCESS])
    assert not begun.acquire(blocking=False)  # the handler ran once
    assert [row.account_no for row in application.rows(select(application.users))] == ["A3"]
