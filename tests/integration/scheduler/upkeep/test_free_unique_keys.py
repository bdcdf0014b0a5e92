"""Entries of unique keys whose tasks have ended are deleted, page by page; those of living tasks stay."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from asyncflow import Call, Status
from asyncflow.scheduler.upkeep import unique_queries as queries
from asyncflow.scheduler.upkeep.free_unique_keys import FreeUniqueKeys
from tests.integration.conftest import Schedule
from tests.integration.outbox.dialects.test_contention import IMPATIENCE
from tests.integration.scheduler.upkeep.test_cleaner import clean, cleaner, on_servers
from tests.support.application import Application


@pytest.fixture
def application(application: Application) -> Application:
    for name in ("rebuild", "forget"):
        application.outbox.task(name)
    return application


def enqueue(application: Application, count: int, task_type: str = "rebuild") -> None:
    calls = [Call({}, unique_key=f"k{number:03}") for number in range(count)]
    with application.session() as session, session.begin():
        application.outbox.enqueue_many(session, task_type, calls)


def left(application: Application) -> list[tuple[str, str]]:
    entries = application.outbox.unique_entries
    rows = application.rows(select(entries.c.task_type, entries.c.unique_key))
    return sorted((row.task_type, row.unique_key) for row in rows)


def end(application: Application, keys: list[str], status: Status = Status.SUCCESS) -> None:
    tasks, entries = application.outbox.tasks, application.outbox.unique_entries
    ids = select(entries.c.task_id).where(entries.c.unique_key.in_(keys))
    found = [row.task_id for row in application.rows(ids)]
    with application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id.in_(found)).values(status=int(status)))


def test_entries_of_tasks_that_have_ended_or_are_gone_are_deleted(application: Application, schedule: Schedule) -> None:
    enqueue(application, 5)
    enqueue(application, 1, "forget")
    for key, status in (("k001", Status.FAILED), ("k002", Status.CANCELLED), ("k003", Status.PROCESSING)):
        end(application, [key], status)
    with application.engine.begin() as connection:
        entry = {"task_type": "gone", "unique_key": "k", "task_id": uuid4()}
        connection.execute(insert(application.outbox.unique_entries).values(entry))
    clean(cleaner(schedule))
    assert left(application) == [("forget", "k000"), ("rebuild", "k000"), ("rebuild", "k003"), ("rebuild", "k004")]


def test_a_walk_goes_page_by_page_and_rests_at_its_end(application: Application) -> None:
    now = [0.0]
    walk = FreeUniqueKeys(application.outbox, lambda: now[0])
    enqueue(application, 25)
    end(application, [f"k{number:03}" for number in range(0, 25, 2)])

    def step() -> int:
        with application.engine.begin() as connection:
            return walk.delete(connection, 10)

    assert [step(), step(), walk.are_due, step(), walk.are_due] == [10, 10, True, 5, False]
    assert left(application) == [("rebuild", f"k{number:03}") for number in range(1, 25, 2)]
    now[0] = 601.0
    assert walk.are_due
    assert step() == 10


@on_servers
def test_a_locked_entry_holds_up_no_others(application: Application, schedule: Schedule) -> None:
    enqueue(application, 3)
    end(application, ["k000", "k001", "k002"])
    name = application.outbox.unique_entries.fullname
    one = cleaner(schedule)
    with application.engine.connect() as connection:
        connection.execute(text(f"SELECT task_id FROM {name} WHERE unique_key = 'k001' FOR UPDATE"))
        clean(one)
        assert ("rebuild", "k001") in left(application)
        connection.rollback()


def test_only_the_owner_of_the_first_shard_walks(application: Application, schedule: Schedule) -> None:
    enqueue(application, 1)
    end(application, ["k000"])
    others = [cleaner(schedule, instance_index=index, instance_count=2) for index in (1, 0)]
    clean(others[0])
    assert left(application) == [("rebuild", "k000")]
    clean(others[1])
    assert left(application) == []


def test_a_key_that_is_taken_over_while_its_entry_is_judged_is_had_once(application: Application) -> None:
    enqueue(application, 1)
    end(application, ["k000"])
    steps: list[str] = []

    def take_over() -> None:
        with application.engine.connect() as connection:
            connection.execute(text(IMPATIENCE[connection.dialect.name]))
            connection.commit()
            try:
                application.outbox.enqueue(connection, "rebuild", unique_key="k000")
                connection.commit()
                steps.append("taken over")
            except DBAPIError:
                steps.append("held")
            connection.invalidate()

    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            take_over()

    with application.engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", before)
        with connection.begin():
            FreeUniqueKeys(application.outbox).delete(connection, 10)
    enqueue(application, 1)
    enqueue(application, 1)
    assert len(steps) == 1
    assert sorted(application.statuses()) == [Status.PENDING, Status.SUCCESS]


def test_an_entry_that_leads_to_another_task_than_was_judged_stays(application: Application) -> None:
    enqueue(application, 1)
    values = {"its_type": "rebuild", "its_keys": ["k000"], "its_ids": [uuid4()]}
    with application.engine.begin() as connection:
        connection.execute(queries.delete_keys(application.outbox.unique_entries), values)
    assert left(application) == [("rebuild", "k000")]
