from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import URL, Engine, select, text

from asyncflow import Scheduler, Status
from asyncflow.events import TaskFailed, TaskRetried, TasksSettled
from asyncflow.outbox.clock import seconds_until
from asyncflow.scheduler import SENT, Outcome, Record, Rejected, Retry
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import ids_of, values_of
from tests.integration.scheduler.writing import FAR, publish, publish_many
from tests.support.application import Application

BUSY = "flaky"


@pytest.fixture
def flaky(application: Application) -> str:
    """Declare a type whose retries are far apart: 100, 200, 400, 400 s; 3 of them."""
    application.outbox.message(BUSY, max_retries=3, retry_interval_seconds=100, max_retry_interval_seconds=400)
    return BUSY


def row(application: Application) -> Any:
    (only,) = application.rows()
    return only


def waits(application: Application) -> tuple[float, float]:
    """Return the seconds until order_time and next_select_time, by the database's clock."""
    t = application.outbox.tasks.c
    (both,) = application.rows(select(seconds_until(t.order_time), seconds_until(t.next_select_time)))
    return both[0], both[1]


def busy(_: Record) -> Outcome:
    return Retry("broker busy")


def test_a_retry_is_due_again_after_its_interval_by_the_database_clock(
    application: Application, schedule: Schedule, flaky: str
) -> None:
    publish(application, task_type=flaky)
    scheduler = schedule(MemoryPublisher(busy))
    for count, delay in enumerate((100, 200, 400), start=1):
        scheduler.drain()
        assert (row(application).status, row(application).retry_count) == (Status.PENDING, count)
        order_time, next_select_time = waits(application)
        assert delay - 60 < order_time <= delay + 0.001  # SQLite tells days as floats
        assert order_time == pytest.approx(next_select_time, abs=0.01)
        application.make_due()
    events = [(event.retry_count, event.delay_seconds) for event in application.signals.of(TaskRetried)]
    assert events == [(1, 100), (2, 200), (3, 400)]


def test_a_retry_is_not_fetched_before_it_is_due(application: Application, schedule: Schedule, flaky: str) -> None:
    publish(application, task_type=flaky)
    publisher = MemoryPublisher(busy)
    scheduler = schedule(publisher)
    for _ in range(3):
        scheduler.drain()
    assert len(publisher.records) == 1


def test_a_task_fails_when_its_retries_are_spent(application: Application, schedule: Schedule, flaky: str) -> None:
    task_id = publish(application, task_type=flaky)
    publisher = MemoryPublisher(busy)
    scheduler = schedule(publisher)
    for _ in range(6):
        scheduler.drain()
        application.make_due()
    assert len(publisher.records) == 4
    assert (row(application).status, row(application).retry_count) == (Status.FAILED, 4)
    assert application.signals.of(TaskFailed) == [TaskFailed(task_id, flaky, 4, "broker busy")]


def test_without_retries_the_first_failure_is_the_last(application: Application, schedule: Schedule) -> None:
    application.outbox.message("once", max_retries=0)
    publish(application, task_type="once")
    schedule(MemoryPublisher(busy)).drain()
    assert (row(application).status, row(application).retry_count) == (Status.FAILED, 1)


def test_without_an_interval_all_retries_happen_at_once(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    sqlite_application.outbox.message("hasty", max_retries=5, retry_interval_seconds=0, max_retry_interval_seconds=0)
    publish(sqlite_application, task_type="hasty")
    publisher = MemoryPublisher(busy)
    sqlite_schedule(publisher).drain()
    assert len(publisher.records) == 6
    assert row(sqlite_application).status == Status.FAILED


def test_a_retried_task_succeeds_in_the_end(application: Application, schedule: Schedule, flaky: str) -> None:
    publish(application, task_type=flaky)
    answers: Iterator[Outcome] = iter([Retry("1"), Retry("2"), SENT])
    scheduler = schedule(MemoryPublisher(lambda _: next(answers)))
    for _ in range(3):
        scheduler.drain()
        application.make_due()
    assert (row(application).status, row(application).retry_count) == (Status.SUCCESS, 2)


def test_a_rejected_record_fails_at_once(application: Application, schedule: Schedule, flaky: str) -> None:
    publish(application, task_type=flaky)
    schedule(MemoryPublisher(lambda _: Rejected("record too large"))).drain()
    assert (row(application).status, row(application).retry_count) == (Status.FAILED, 1)
    assert row(application).schedule_log.endswith("Z record too large\n")


def test_the_log_is_bounded_and_has_the_newest_error_first(application: Application, schedule: Schedule) -> None:
    application.outbox.message("long", max_retries=40, retry_interval_seconds=0, max_retry_interval_seconds=0)
    publish(application, task_type="long")
    numbers = iter(range(1000))
    schedule(MemoryPublisher(lambda _: Retry(f"error {next(numbers)} {'用' * 250}"))).drain()
    log = row(application).schedule_log
    assert len(log) == 2000
    found = [int(number) for number in re.findall(r"Z error (\d+) ", log)]
    assert found == list(range(40, 40 - len(found), -1))
    assert len(found) >= 6


@pytest.mark.parametrize(
    "error", ["nul \0 inside", "half \ud800 pair", "🙂 用户 ü", "'; DROP TABLE x; --%s%(a)s:b", ""]
)
def test_any_error_can_be_logged(error: str, application: Application, schedule: Schedule, flaky: str) -> None:
    publish(application, task_type=flaky)
    scheduler = schedule(MemoryPublisher(lambda _: Retry(error)))
    scheduler.drain()
    assert row(application).retry_count == 1
    delivery = scheduler.relays[0]._delivery
    delivery.route = replace(delivery.route, publisher=MemoryPublisher(lambda _: Rejected(error)))
    application.make_due()
    scheduler.drain()
    assert row(application).status == Status.FAILED
    assert row(application).schedule_log.count("\n") == 2


class Allergic(MemoryPublisher):
    """Raise when a batch holds the poison; publish nothing of it then."""

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        if any(record.value == b'"poison"' for record in batch):
            raise RuntimeError("the client broke on a record")
        return super().publish(batch)


def test_a_record_that_breaks_the_client_spends_its_own_attempts_alone(
    application: Application, schedule: Schedule, flaky: str
) -> None:
    publish_many(application, 10, flaky)
    poison = publish(application, "poison", task_type=flaky)
    publish_many(application, 10, flaky)
    publisher = Allergic()
    schedule(publisher).drain()
    assert len(values_of(publisher)) == len(set(ids_of(publisher))) == 20
    assert {row.retry_count for row in application.rows() if row.status == Status.SUCCESS} == {0}
    (waiting,) = [row for row in application.rows() if row.status == Status.PENDING]
    assert (waiting.id, waiting.retry_count) == (poison, 1)
    assert "RuntimeError: the client broke on a record" in waiting.schedule_log


@pytest.mark.parametrize("answer", [[], [None], [SENT, SENT], None, [True], 7, {SENT}])
def test_a_publisher_that_breaks_its_contract_spends_attempts_and_is_named(
    answer: Any, sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    class Broken(MemoryPublisher):
        def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
            return answer  # type: ignore[no-any-return]

    sqlite_application.outbox.message("refused", **FAR)
    publish(sqlite_application, task_type="refused")
    sqlite_schedule(Broken()).drain()
    assert (row(sqlite_application).status, row(sqlite_application).retry_count) == (Status.PENDING, 1)
    assert "PublisherError: the publisher of 'kafka' returned" in row(sqlite_application).schedule_log


def test_outcomes_of_a_round_are_told(application: Application, schedule: Schedule, flaky: str) -> None:
    outcomes: list[Outcome] = [SENT, Retry("busy"), Rejected("never"), SENT, Retry("busy")]
    publish_many(application, 5, flaky)
    answers = iter(outcomes)
    schedule(MemoryPublisher(lambda _: next(answers))).drain()
    (settled,) = application.signals.of(TasksSettled)
    assert (settled.succeeded, settled.retried, settled.failed) == (2, 2, 1)
    assert sorted(application.statuses()) == [0, 0, 2, 2, 3]


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_any_error_can_be_logged_in_a_database_of_another_character_set(
    database_url: URL, engine: Engine, made: list[Scheduler]
) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {database_url.database} CHARACTER SET latin1"))
    try:
        application = Application(engine)
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"ALTER DATABASE {database_url.database} CHARACTER SET utf8mb4"))
    publish(application, key="Kontø-用户", headers={"wer": "用户 🙂"})
    made.append(application.scheduler(MemoryPublisher(lambda _: Rejected("错误 🙂"))))
    made[0].drain()
    assert row(application).schedule_log.endswith("Z 错误 🙂\n")
    assert row(application).headers == '{"wer":"用户 🙂"}'
