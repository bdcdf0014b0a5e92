"""Nothing stands aside, and no key is parked, without a living reason: a deployment that changes types leaves none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from asyncflow import Message, Status
from asyncflow.events import RowsPutBack, RowsPutInOrder, StepFailed
from asyncflow.scheduler import Retry
from asyncflow.scheduler.relay.keys import queries as key_queries
from asyncflow.scheduler.upkeep import disordered
from tests.integration.conftest import Schedule
from tests.integration.scheduler.faults import faults
from tests.integration.scheduler.relay.test_locked_rows import locked
from tests.integration.scheduler.relay.test_order import MOVED, Ledger, declare, enqueue, parked, rounds
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

AGES: dict[str, Any] = {"retry_interval_seconds": 3600, "max_retry_interval_seconds": 3600}


@pytest.fixture
def left_behind(application: Application, schedule: Schedule) -> Application:
    """Give an application whose ordered type left two keys parked, one by a failure and one by a dead letter."""
    declare(application, max_retries=2, **AGES)
    enqueue(application, "fails", *range(5))
    enqueue(application, "dies", *range(5))
    scheduler = schedule(Ledger(lambda key, number: Retry("no") if number == 0 else None))
    rounds(scheduler, 1)
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        its = select(tasks.c.id).where(tasks.c.task_key == "dies", tasks.c.retry_count > 0)
        (first,) = connection.execute(its).scalars()
        connection.execute(update(tasks).where(tasks.c.id == first).values(status=int(Status.FAILED)))
        values = {"its_type": MOVED, "its_key": "dies", "first": first.bytes}
        if application.engine.dialect.name == "postgresql":
            values["first"] = str(first)
        connection.execute(key_queries.block(application.outbox.parked_keys), values)
    scheduler.stop()
    assert {row.task_key for row in parked(application)} == {"fails", "dies"}
    return application


def redeployed(application: Application, **options: Any) -> Application:
    """Return the application as another version declares it."""
    again = Application(application.engine)
    again.outbox.message(MOVED, **options)
    return again


def test_a_type_that_is_ordered_no_more_leaves_no_row_and_no_key_behind(left_behind: Application) -> None:
    again = redeployed(left_behind)
    ledger = Ledger()
    with again.scheduler(ledger):
        eventually(lambda: again.statuses().count(Status.SUCCESS) == 8)
        assert {number for key in ledger.arrived for number in ledger.arrived[key]} == {1, 2, 3, 4}
        assert parked(again) == []
    assert again.statuses().count(Status.FAILED) == 1  # its retry is due when it is, and the dead letter stays one
    assert again.signals.of(RowsPutBack) == [RowsPutBack(MOVED, 8, 2)]


def test_a_type_that_has_handlers_now_leaves_no_key_behind(left_behind: Application) -> None:
    again = Application(left_behind.engine)
    again.outbox.task(MOVED)(lambda: None)
    with again.scheduler():
        eventually(lambda: parked(again) == [])


def test_what_is_not_declared_here_is_left_alone(left_behind: Application) -> None:
    again = Application(left_behind.engine)
    again.scheduler().drain()
    assert len(parked(again)) == 2
    assert again.signals.of(RowsPutBack) == []


def test_a_type_that_is_ordered_still_keeps_its_keys(left_behind: Application) -> None:
    again = redeployed(left_behind, ordered=True, **AGES)
    ledger = Ledger()
    again.scheduler(ledger).drain()
    assert ledger.arrived == {}
    assert len(parked(again)) == 2
    assert again.signals.of(RowsPutBack) == []


def test_a_type_that_is_declared_late_has_its_parked_keys_read(left_behind: Application, schedule: Schedule) -> None:
    again = Application(left_behind.engine)
    again.outbox.message("other", ordered=True)
    ledger = Ledger()
    scheduler = again.scheduler(ledger)
    rounds(scheduler, 1)
    again.outbox.message(MOVED, ordered=True, **AGES)
    with again.engine.begin() as connection:
        past = {"due": timedelta(seconds=-1)}
        its = again.outbox.parked_keys.c.task_key == "fails"
        connection.execute(update(again.outbox.parked_keys).where(its).values(past))
    try:
        rounds(scheduler, 3)
    finally:
        scheduler.stop()
    assert ledger.arrived == {"fails": [0, 1, 2, 3, 4]}


def test_rows_aside_of_an_ordered_type_whose_key_is_not_parked_are_put_back_in_order(left_behind: Application) -> None:
    with left_behind.engine.begin() as connection:
        connection.execute(delete(left_behind.outbox.parked_keys))
    again = redeployed(left_behind, ordered=True, **AGES)
    ledger = Ledger()
    with again.scheduler(ledger):
        eventually(lambda: again.statuses().count(Status.SUCCESS) == 9)
    assert ledger.arrived == {"fails": [0, 1, 2, 3, 4], "dies": [1, 2, 3, 4]}


def test_a_message_with_a_delay_of_days_does_not_count_as_aside(left_behind: Application) -> None:
    again = redeployed(left_behind)
    with again.session() as session, session.begin():
        again.outbox.publish(session, MOVED, {}, key="fails", delay_seconds=86_400 * 2)
    again.scheduler(Ledger()).drain()
    assert again.statuses().count(Status.SUCCESS) == 8
    assert parked(again) == []
    assert again.statuses().count(Status.PENDING) == 2


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_row_that_somebody_has_locked_is_put_back_when_it_is_free(left_behind: Application) -> None:
    again = redeployed(left_behind)
    tasks = again.outbox.tasks
    aside = tasks.c.status == int(Status.PENDING), tasks.c.task_key == "fails", tasks.c.retry_count == 0
    (one,) = again.rows(select(tasks.c.id).where(*aside).limit(1))
    scheduler = again.scheduler(Ledger(), cleaning_interval_seconds=1)
    try:
        with locked(again.engine, select(tasks.c.id).where(tasks.c.id == one.id)):
            scheduler.start()
            eventually(lambda: again.statuses().count(Status.SUCCESS) == 7)
        eventually(lambda: again.statuses().count(Status.SUCCESS) == 8 and not parked(again))
    finally:
        scheduler.stop()


# -- a type that has an order now --------------------------------------------------------------------------

KEYS = [f"K{number}" for number in range(5)]


@pytest.fixture
def without_order(application: Application) -> Application:
    """Give an application whose type has no order; 8 messages of each key wait, some of which are to go ahead."""
    application.outbox.message(MOVED)
    for number in range(8):
        with application.session() as session, session.begin():
            for key in KEYS:
                priority = 600 if number % 3 == 2 else 0
                application.outbox.publish(session, MOVED, str(number).encode(), key=key, priority=priority)
    return application


def is_in_order(ledger: Ledger, count: int) -> bool:
    return ledger.arrived == {key: list(range(count)) for key in KEYS}


@pytest.mark.parametrize("page", [3, 5000])
def test_what_was_published_before_its_type_had_an_order_goes_first_and_in_order(
    without_order: Application, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disordered, "_MOST_ROWS", page)
    again = redeployed(without_order, ordered=True)
    for number in (8, 9):
        for key in KEYS:
            enqueue(again, key, number)
    ledger = Ledger()
    with again.scheduler(ledger):
        eventually(lambda: again.statuses().count(Status.SUCCESS) == 50)
    assert is_in_order(ledger, 10)
    assert sum(event.rows for event in again.signals.of(RowsPutInOrder)) >= 30


def test_what_had_no_key_before_its_type_had_an_order_goes_in_none_and_holds_up_nothing(
    without_order: Application,
) -> None:
    with without_order.session() as session, session.begin():
        bodies = [Message(str(number).encode()) for number in range(200)]
        without_order.outbox.publish_many(session, MOVED, bodies)
    again = redeployed(without_order, ordered=True, max_retries=1, retry_interval_seconds=0)
    ledger = Ledger(lambda key, number: Retry("no") if (key, number) in {("", 0), ("", 1)} else None)
    with again.scheduler(ledger):
        eventually(lambda: again.statuses().count(Status.SUCCESS) == 238)
        eventually(lambda: again.statuses().count(Status.FAILED) == 2)
    assert sorted(ledger.arrived.pop("")) == list(range(2, 200))
    assert is_in_order(ledger, 8)
    assert faults(again) == []
    assert parked(again) == []


def test_a_drain_keeps_the_order_as_a_start_does(without_order: Application) -> None:
    again, ledger = redeployed(without_order, ordered=True), Ledger()
    again.scheduler(ledger).drain()
    assert is_in_order(ledger, 8)


def test_a_type_that_was_ordered_all_along_is_looked_at_and_left(application: Application) -> None:
    declare(application)
    for key in KEYS:
        enqueue(application, key, *range(8))
    application.scheduler(Ledger()).drain()
    assert application.signals.of(RowsPutInOrder) == []


def test_what_is_to_wait_for_days_waits_all_the_same(without_order: Application) -> None:
    with without_order.session() as session, session.begin():
        without_order.outbox.publish(session, MOVED, b"8", key=KEYS[0], delay_seconds=86_400 * 2)
    again, ledger = redeployed(without_order, ordered=True), Ledger()
    again.scheduler(ledger).drain()
    assert is_in_order(ledger, 8)
    assert again.statuses().count(Status.PENDING) == 1


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_row_that_somebody_has_locked_holds_up_no_start_and_is_put_right_later(without_order: Application) -> None:
    again, ledger = redeployed(without_order, ordered=True), Ledger()
    tasks = again.outbox.tasks
    (first,) = again.rows(select(tasks.c.id).where(tasks.c.task_key == KEYS[0]).order_by(tasks.c.id).limit(1))
    scheduler = again.scheduler(ledger, cleaning_interval_seconds=1)
    try:
        with locked(again.engine, select(tasks.c.id).where(tasks.c.id == first.id)):
            scheduler.start()
            eventually(lambda: again.statuses().count(Status.SUCCESS) == 32)
        eventually(lambda: again.statuses().count(Status.SUCCESS) == 40)
    finally:
        scheduler.stop()
    assert all(ledger.arrived[key] == list(range(8)) for key in KEYS[1:])


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_parked_key_that_somebody_has_locked_holds_up_no_other_and_is_released_later(
    left_behind: Application,
) -> None:
    again = redeployed(left_behind)
    keys = again.outbox.parked_keys
    scheduler = again.scheduler(Ledger(), cleaning_interval_seconds=1)
    try:
        its = keys.c.task_type == MOVED, keys.c.task_key == "dies"
        with locked(again.engine, select(keys.c.task_key).where(*its)):
            scheduler.start()
            eventually(lambda: [row.task_key for row in parked(again)] == ["dies"])
        eventually(lambda: parked(again) == [])
    finally:
        scheduler.stop()
    assert again.signals.of(StepFailed) == []
