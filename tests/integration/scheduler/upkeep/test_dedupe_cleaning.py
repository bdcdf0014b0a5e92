"""Idempotency keys are forgotten when their retention is over, by one instance for all."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from asyncflow.events import IdempotencyKeysForgotten
from asyncflow.scheduler.upkeep.cleaner import Cleaner
from tests.integration.conftest import Schedule
from tests.integration.scheduler.relay.test_locked_rows import locked
from tests.integration.scheduler.upkeep.test_cleaner import clean, cleaner, on_servers
from tests.integration.scheduler.writing import publish
from tests.support.application import Application


def used(application: Application, count: int, age: timedelta) -> None:
    """Let keys have been used that long ago."""
    rows = [
        {"task_type": "user.registered", "idempotency_key": f"{age.days}-{n}", "task_id": uuid4(), "created_at": -age}
        for n in range(count)
    ]
    with application.engine.begin() as connection:
        connection.execute(insert(application.outbox.dedupe_entries), rows)


def left(application: Application) -> list[str]:
    entries = application.outbox.dedupe_entries
    return sorted(row.idempotency_key for row in application.rows(select(entries)))


def test_keys_older_than_a_week_are_forgotten(application: Application, schedule: Schedule) -> None:
    used(application, 2, timedelta(days=8))
    used(application, 2, timedelta(days=6))
    clean(cleaner(schedule))
    assert left(application) == ["6-0", "6-1"]


def test_a_forgotten_key_may_be_used_anew(application: Application, schedule: Schedule) -> None:
    first = publish(application, idempotency_key="8-0x")
    assert publish(application, idempotency_key="8-0x") == first
    used(application, 1, timedelta(days=8))
    clean(cleaner(schedule))
    assert publish(application, idempotency_key="8-0x") == first
    assert publish(application, idempotency_key="8-0") != first
    assert len(application.rows()) == 2


def test_they_are_deleted_in_batches(application: Application, schedule: Schedule) -> None:
    used(application, 10, timedelta(days=8))
    clean(cleaner(schedule, cleaning_batch=4))
    assert [event.keys for event in application.signals.of(IdempotencyKeysForgotten)] == [4, 4, 2]


def test_who_does_not_own_the_first_shard_leaves_them(application: Application, schedule: Schedule) -> None:
    used(application, 1, timedelta(days=8))
    cleaners: list[Cleaner] = [cleaner(schedule, instance_index=index, instance_count=2) for index in (1, 0)]
    clean(cleaners[0])
    assert left(application) == ["8-0"]
    clean(cleaners[1])
    assert left(application) == []


@on_servers
def test_one_that_somebody_has_locked_holds_up_nothing_else_that_is_old(
    application: Application, schedule: Schedule
) -> None:
    used(application, 2, timedelta(days=8))
    turns, keys = application.outbox.turns, application.outbox.dedupe_entries
    with application.engine.begin() as connection:
        connection.execute(insert(turns), [{"number": number} for number in range(1, 6)])
    one = cleaner(schedule)
    with locked(application.engine, select(keys.c.idempotency_key).where(keys.c.idempotency_key == "8-0")):
        while True:
            try:
                pause = one.step()
            except DBAPIError:
                break  # told of, when all else is done
            assert pause < 1
        assert len(application.rows(select(turns.c.number))) == 1  # the latest stays
    clean(one)
    assert left(application) == []
