"""A dead letter with a unique key is replayed when no other task has its key; else it is left, and that is told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, select, update

from asyncflow import Status
from asyncflow.scheduler import DeadLetters, Selection
from tests.support.application import Application

ALL = Selection(everything=True)


@pytest.fixture
def application(application: Application) -> Application:
    application.outbox.task("rebuild")
    return application


@pytest.fixture
def letters(application: Application) -> DeadLetters:
    return DeadLetters(application.engine, application.outbox)


def enqueue(application: Application, key: str | None = "k") -> UUID:
    with application.session() as session, session.begin():
        return application.outbox.enqueue(session, "rebuild", unique_key=key)


def end(application: Application, task_id: UUID, status: Status = Status.FAILED) -> None:
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id == task_id).values(status=int(status)))


def failed(application: Application, key: str | None = "k") -> UUID:
    task_id = enqueue(application, key)
    end(application, task_id)
    return task_id


def test_a_replay_takes_the_key_again(application: Application, letters: DeadLetters) -> None:
    first = failed(application)
    assert letters.replay(Selection(ids=[first]), actor="ann").count == 1
    assert enqueue(application) == first
    assert application.statuses() == [Status.PENDING]


def test_one_whose_key_another_task_has_is_left_alone_and_that_is_told(
    application: Application, letters: DeadLetters
) -> None:
    first, second = failed(application), enqueue(application)
    for selection in (Selection(ids=[first]), ALL):
        changed = letters.replay(selection, actor="ann")
        assert changed.count == 0
        assert changed.left == {first: f"FAILED, and its unique key has task {second} by now"}
    assert application.statuses() == [Status.FAILED, Status.PENDING]
    assert application.rows(select(application.outbox.audit_entries)) == []


def test_it_is_replayed_when_the_other_one_has_ended(application: Application, letters: DeadLetters) -> None:
    first, second = failed(application), enqueue(application)
    end(application, second, Status.SUCCESS)
    assert letters.replay(Selection(ids=[first]), actor="ann").count == 1
    assert enqueue(application) == first


def test_of_several_dead_letters_with_one_key_the_first_is_replayed(
    application: Application, letters: DeadLetters
) -> None:
    first, second, third, other = (
        failed(application),
        failed(application),
        failed(application, None),
        failed(application, "x"),
    )
    changed = letters.replay(ALL, actor="ann")
    assert changed.count == 3
    assert changed.left == {second: f"FAILED, and its unique key has task {first} by now"}
    statuses = {row.id: row.status for row in application.rows()}
    assert statuses == {first: Status.PENDING, second: Status.FAILED, third: Status.PENDING, other: Status.PENDING}


def test_a_mended_one_takes_its_key_again_or_is_left(application: Application, letters: DeadLetters) -> None:
    first, second = failed(application), enqueue(application)
    mended = {"payload": b'{"a":1}', "seen": b"{}", "detail": "a", "actor": "ann"}
    changed = letters.mend(first, **mended)  # type: ignore[arg-type]
    assert (changed.count, list(changed.left)) == (0, [first])
    end(application, second, Status.CANCELLED)
    assert letters.mend(first, **mended).count == 1  # type: ignore[arg-type]
    assert enqueue(application) == first


@pytest.mark.parametrize("act", ["cancel", "discard"])
def test_what_a_person_cancels_or_discards_has_no_key_any_more(
    application: Application, letters: DeadLetters, act: str
) -> None:
    first = enqueue(application) if act == "cancel" else failed(application)
    assert getattr(letters, act)(Selection(ids=[first]), actor="ann").count == 1
    assert enqueue(application) != first


# SQLite keeps other writers out meanwhile.
@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_one_that_fails_after_keys_were_asked_for_is_not_replayed_beside_another_task(
    application: Application, letters: DeadLetters
) -> None:
    first = enqueue(application)
    others: list[UUID] = []

    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FOR UPDATE" in statement and not others:
            others.append(first)
            end(application, first)
            others[:] = [enqueue(application)]

    event.listen(application.engine, "before_cursor_execute", before)
    changed = letters.replay(Selection(ids=[first]), actor="ann")
    assert (changed.count, changed.left) == (0, {first: "FAILED"})
    assert {row.id: row.status for row in application.rows()} == {first: Status.FAILED, others[0]: Status.PENDING}
    end(application, others[0], Status.SUCCESS)
    assert letters.replay(Selection(ids=[first]), actor="ann").count == 1
