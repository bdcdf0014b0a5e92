"""Coalescing types: of a key's messages that wait the latest alone is sent, and never an earlier one after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from asyncflow import Message, Status
from asyncflow.events import TasksSettled
from asyncflow.scheduler import DeadLetters, Outcome, Rejected, Retry, Selection, Unavailable
from asyncflow.testing import drain
from tests.integration.conftest import Schedule
from tests.integration.scheduler.relay.test_order import NO_WAIT, Ledger, draw_an_earlier_turn, parked, rounds
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

STATE = "user.state"


def declare(application: Application, **options: Any) -> None:
    application.outbox.message(STATE, ordered=True, coalesce=True, when_exhausted="skip", **options)


def change(application: Application, key: str, *numbers: int) -> list[UUID]:
    """Publish each number in a transaction of its own."""
    ids = []
    for number in numbers:
        with application.session() as session, session.begin():
            ids.append(application.outbox.publish(session, STATE, str(number).encode(), key=key))
    return ids


def statuses_of(application: Application, ids: Sequence[UUID]) -> list[int]:
    tasks = application.outbox.tasks
    found = {row.id: row.status for row in application.rows(select(tasks.c.id, tasks.c.status))}
    return [found[task_id] for task_id in ids]


def test_many_changes_of_a_key_before_its_delivery_are_one_message(
    application: Application, schedule: Schedule
) -> None:
    declare(application)
    ids = change(application, "A", *range(20))
    change(application, "B", 1)
    scheduler = schedule(ledger := Ledger())
    rounds(scheduler, 2)
    assert ledger.arrived == {"A": [19], "B": [1]}
    assert statuses_of(application, ids) == [Status.CANCELLED] * 19 + [Status.SUCCESS]
    assert "superseded" in application.rows()[0].schedule_log
    assert [event.cancelled for event in application.signals.of(TasksSettled)] == [19]
    change(application, "A", 20)
    rounds(scheduler, 2)
    assert ledger.arrived["A"] == [19, 20]
    assert parked(application) == []


def test_those_of_a_bulk_are_one_message_and_rows_can_be_deleted(application: Application, schedule: Schedule) -> None:
    declare(application)
    with application.session() as session, session.begin():
        messages = [Message(str(number).encode(), key="A") for number in range(5)]
        application.outbox.publish_many(session, STATE, messages)
    rounds(schedule(ledger := Ledger(), on_success="delete"), 2)
    assert ledger.arrived == {"A": [4]}
    assert application.rows() == []


def test_a_change_that_is_rolled_back_leaves_the_one_before_it_to_be_sent(
    application: Application, schedule: Schedule
) -> None:
    declare(application)
    change(application, "A", 1, 2)
    with application.session() as session:
        application.outbox.publish(session, STATE, b"3", key="A")
        session.flush()
        session.rollback()
    rounds(schedule(ledger := Ledger()), 2)
    assert ledger.arrived == {"A": [2]}


def test_producers_of_one_key_do_not_wait_for_each_other(application: Application, schedule: Schedule) -> None:
    if application.engine.dialect.name == "sqlite":
        pytest.skip("one transaction writes at a time")
    declare(application)
    with application.session() as first, first.begin(), application.session() as second, second.begin():
        for number in range(1, 7, 2):
            application.outbox.publish(first, STATE, str(number).encode(), key="A")
            first.flush()
            application.outbox.publish(second, STATE, str(number + 1).encode(), key="A")
            second.flush()
    rounds(schedule(ledger := Ledger()), 2)
    assert ledger.arrived == {"A": [6]}


def test_what_fails_is_superseded_by_what_comes_behind_it(application: Application, schedule: Schedule) -> None:
    declare(application, **NO_WAIT)
    ledger = Ledger(lambda key, number: Retry("not today") if number == 2 else None)
    scheduler = schedule(ledger)
    ids = change(application, "A", 1, 2)
    rounds(scheduler, 2)
    assert statuses_of(application, ids) == [Status.CANCELLED, Status.PENDING]
    ids += change(application, "A", 3, 4)
    rounds(scheduler, 3)
    assert ledger.arrived == {"A": [4]}
    assert statuses_of(application, ids) == [Status.CANCELLED] * 3 + [Status.SUCCESS]
    assert parked(application) == []


def test_a_destination_that_is_away_supersedes_nothing(application: Application, schedule: Schedule) -> None:
    declare(application)
    ledger = Ledger(lambda key, number: Unavailable("away"))
    scheduler = schedule(ledger, breaker_pause_seconds=0.001, max_breaker_pause_seconds=0.001)
    ids = change(application, "A", 1, 2)
    rounds(scheduler, 1)
    assert statuses_of(application, ids) == [Status.PENDING] * 2
    ledger.refuse = lambda key, number: None
    scheduler.drain()
    assert ledger.arrived["A"][-1] == 2
    assert sorted(ledger.arrived["A"]) == ledger.arrived["A"]


@pytest.mark.parametrize("outcome", [Rejected("too large"), Retry("no")])
def test_a_dead_letter_that_is_replayed_is_not_sent_after_what_followed_it(
    outcome: Outcome, application: Application, schedule: Schedule
) -> None:
    declare(application, max_retries=0)
    ledger = Ledger(lambda key, number: outcome if number == 1 else None)
    scheduler = schedule(ledger)
    (dead,) = change(application, "A", 1)
    rounds(scheduler, 2)
    change(application, "A", 2)
    rounds(scheduler, 2)
    assert statuses_of(application, [dead]) == [Status.FAILED]
    ledger.refuse = lambda key, number: None
    DeadLetters(application.engine, application.outbox).replay(Selection(ids=[dead]), actor="test")
    rounds(scheduler, 3)
    assert ledger.arrived == {"A": [2]}
    assert statuses_of(application, [dead]) == [Status.CANCELLED]


def test_a_dead_letter_that_is_the_latest_is_sent_when_it_is_replayed(
    application: Application, schedule: Schedule
) -> None:
    declare(application, max_retries=0)
    ledger = Ledger(lambda key, number: Rejected("too large") if number == 2 else None)
    scheduler = schedule(ledger)
    _, dead = change(application, "A", 1, 2)
    rounds(scheduler, 2)
    ledger.refuse = lambda key, number: None
    DeadLetters(application.engine, application.outbox).replay(Selection(ids=[dead]), actor="test")
    rounds(scheduler, 3)
    assert ledger.arrived == {"A": [2]}


def test_a_row_that_commits_late_is_not_lost_behind_its_parked_key(
    application: Application, schedule: Schedule
) -> None:
    declare(application, **NO_WAIT)
    ledger = Ledger(lambda key, number: Retry("no"))
    scheduler = schedule(ledger)
    change(application, "A", 2, 3)
    rounds(scheduler, 2)
    draw_an_earlier_turn(application, *change(application, "A", 1))
    ledger.refuse = lambda key, number: None
    rounds(scheduler, 4)
    assert ledger.arrived == {"A": [3]}
    assert parked(application) == []
    assert sorted(set(application.statuses())) == [Status.SUCCESS, Status.CANCELLED]


def test_a_row_that_somebody_has_locked_holds_up_its_own_key_alone(
    application: Application, schedule: Schedule
) -> None:
    if application.engine.dialect.name == "sqlite":
        pytest.skip("SQLite locks no rows")
    declare(application)
    scheduler = schedule(ledger := Ledger())
    tasks = application.outbox.tasks
    first, _ = change(application, "A", 1, 2)
    change(application, "B", 1, 2)
    with application.engine.connect() as connection, connection.begin():
        connection.execute(select(tasks.c.id).where(tasks.c.id == first).with_for_update())
        rounds(scheduler, 3)
        assert ledger.arrived["B"] == [2]

    def is_settled() -> bool:  # what was locked is tried again after a while
        scheduler.drain()
        return sorted(application.statuses()) == sorted([Status.SUCCESS, Status.CANCELLED] * 2)

    eventually(is_settled)
    assert ledger.arrived["A"][-1] == 2


def test_a_backlog_of_more_than_a_round_ends_with_the_latest(application: Application, schedule: Schedule) -> None:
    declare(application)
    ids = change(application, "A", *range(120))
    rounds(schedule(ledger := Ledger(), round_size=50), 6)
    assert ledger.arrived["A"][-1] == 119
    assert len(ledger.arrived["A"]) <= 4
    assert sorted(ledger.arrived["A"]) == ledger.arrived["A"]
    assert set(statuses_of(application, ids)) == {Status.SUCCESS, Status.CANCELLED}


def test_a_drain_sends_the_latest_alone(application: Application) -> None:
    declare(application)
    with application.session() as session, session.begin():
        for number in (1, 2, 3):
            application.outbox.publish(session, STATE, str(number).encode(), key="A")
        ledger = Ledger()
        drained = drain(session, ledger, outbox=application.outbox)
    assert (drained.sent, drained.cancelled) == (1, 2)
    assert ledger.arrived == {"A": [3]}
