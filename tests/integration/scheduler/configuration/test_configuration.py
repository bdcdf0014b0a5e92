"""The configuration of task types: set while schedulers run, checked at the door, and never the end of a loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text, update

from asyncflow import RetryTask, Scheduler, Status, TaskContext
from asyncflow.errors import OptionError, UnknownOptionError, UnknownTaskTypeError
from asyncflow.events import (
    ClaimsRanOut,
    ConfigurationChanged,
    ConfigurationIgnored,
    PageFetched,
    TaskFailed,
    TaskRetried,
)
from asyncflow.scheduler import Configurations, Rejected, Retry, TypeConfig
from asyncflow.scheduler.operator.report import report
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.faults import faults
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

NOW = timedelta(0)


def configurations(application: Application) -> Configurations:
    return Configurations(application.engine, application.outbox)


def drain_until(scheduler: Scheduler, holds: Callable[[], bool]) -> None:
    def drained() -> bool:
        scheduler.drain()
        return holds()

    eventually(drained)


def by_hand(application: Application, task_type: str, **values: Any) -> None:
    """Write a row as a person would, past every check."""
    with application.engine.begin() as connection:
        row = {"task_type": task_type, "modified_at": NOW, **values}
        connection.execute(insert(application.outbox.schedule_cfgs), row)


def enqueue(application: Application, task: Any, count: int = 1, **arguments: Any) -> None:
    with application.session() as session, session.begin():
        for _ in range(count):
            application.outbox.enqueue(session, task, **arguments)


def publish(application: Application, count: int = 1, **options: Any) -> None:
    with application.session() as session, session.begin():
        for _ in range(count):
            application.outbox.publish(session, "user.registered", {}, **options)


# -- the door --------------------------------------------------------------------------------------------


def test_what_is_put_is_got_and_what_is_removed_is_as_declared(application: Application) -> None:
    application.outbox.task("render")
    configs = configurations(application)
    assert configs.get("render") == TypeConfig(task_type="render")

    configs.put("render", limit=7, enabled=False, retry_interval_seconds=0.25)
    configs.put("render", enabled=None, concurrency=3, interval_seconds=2, max_processing_time_seconds=1.5)
    configs.put("user.registered", max_retries=0, max_retry_interval_seconds=60)

    expected = TypeConfig(
        task_type="render",
        limit=7,
        concurrency=3,
        retry_interval_seconds=0.25,
        interval_seconds=2,
        max_processing_time_seconds=1.5,
    )
    assert configs.get("render") == expected
    assert configs.all() == {
        "render": expected,
        "user.registered": TypeConfig(task_type="user.registered", max_retries=0, max_retry_interval_seconds=60),
    }
    assert configs.remove("render")
    assert not configs.remove("render")
    assert configs.get("render") == TypeConfig(task_type="render")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("render", {"concurency": 3}, r"no option 'concurency' \(did you mean 'concurrency'\?\)"),
        ("render", {"concurrency": 0}, r"^concurrency is 0; give a whole number from 1"),
        ("render", {"limit": "many"}, r"^limit is 'many'; give"),
        ("render", {"enabled": 1}, r"^enabled is 1; give True or False"),
        ("render", {"interval_seconds": -1}, r"^interval_seconds is -1; give seconds"),
        ("render", {"max_processing_time_seconds": float("nan")}, r"^max_processing_time_seconds is nan; give"),
        ("render", {"max_retries": 1.5}, r"^max_retries is 1.5; give"),
        ("render", {"retry_interval_seconds": 60}, r"^max_retry_interval_seconds is 10.0; give seconds from 60"),
        ("user.registered", {"concurrency": 3}, r"concurrency is 3, but 'user.registered' is published .* set limit"),
        ("user.registered", {"interval_seconds": 3}, r"rate_limit_per_second"),
        ("user.registered", {"max_processing_time_seconds": 3}, r"max_processing_time_seconds is 3, but"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_written(
    sqlite_application: Application, name: str, options: dict[str, Any], message: str
) -> None:
    sqlite_application.outbox.task("render")
    configs = configurations(sqlite_application)
    with pytest.raises((OptionError, UnknownOptionError), match=message):
        configs.put(name, **options)
    assert configs.all()[name] == TypeConfig(task_type=name)


def test_an_interval_and_its_ceiling_can_be_raised_together(application: Application) -> None:
    configs = configurations(application)
    configs.put("user.registered", retry_interval_seconds=60, max_retry_interval_seconds=600)
    configs.put("user.registered", retry_interval_seconds=120)
    with pytest.raises(OptionError, match="max_retry_interval_seconds"):
        configs.put("user.registered", max_retry_interval_seconds=None)
    assert configs.get("user.registered").max_retry_interval_seconds == 600


def test_an_unknown_type_is_refused_unless_it_is_registered(application: Application) -> None:
    application.outbox.task("render", concurrency=2)
    configs = configurations(application)
    with pytest.raises(UnknownTaskTypeError, match=r"'rendr' .*did you mean 'render'.*registered=True"):
        configs.put("rendr", limit=5)
    with pytest.raises(UnknownTaskTypeError, match="'rendr'"):
        configs.get("rendr")

    configs.put("elsewhere", registered=True, max_processing_time_seconds=60)
    configs.put("elsewhere", concurrency=4)  # it is known by now

    assert [*configs.all()] == ["elsewhere", "render", "user.registered"]
    types = configs.handler_types()
    assert {name: kind.concurrency for name, kind in types.items()} == {"elsewhere": 4, "render": 2}
    assert types["elsewhere"].max_processing_time_seconds == 60


def test_many_who_put_at_once_lose_nothing(application: Application) -> None:
    values: dict[str, Any] = {"limit": 7, "max_retries": 3, "enabled": False, "max_retry_interval_seconds": 50}
    configs = configurations(application)

    threads = [
        threading.Thread(target=configs.put, args=["user.registered"], kwargs={name: value})
        for name, value in values.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert configs.get("user.registered").options() == values


# -- handlers --------------------------------------------------------------------------------------------


def test_a_type_that_is_off_is_left_alone_and_can_be_enqueued(application: Application) -> None:
    done: list[str] = []

    @application.outbox.task()
    def off() -> None:
        done.append("off")

    @application.outbox.task()
    def on() -> None:
        done.append("on")

    configurations(application).put("off", enabled=False)
    for task in (off, on):
        enqueue(application, task)
    application.scheduler().drain()

    assert done == ["on"]
    assert sorted(application.statuses()) == [Status.PENDING, Status.SUCCESS]
    assert {row.task_type: row.retry_count for row in application.rows()} == {"off": 0, "on": 1}
    shown = {one.task_type: one.enabled for one in report(application.engine, application.outbox).types}
    assert shown == {"off": False, "on": True}

    configurations(application).put("off", enabled=True)
    application.scheduler().drain()
    assert done == ["on", "off"]


def test_a_type_can_be_declared_off(application: Application) -> None:
    @application.outbox.task(enabled=False)
    def off() -> None: ...

    enqueue(application, off)
    application.scheduler().drain()
    assert application.statuses() == [Status.PENDING]

    configurations(application).put("off", enabled=True)
    application.scheduler().drain()
    assert application.statuses() == [Status.SUCCESS]


def test_the_numbers_of_retries_and_intervals_in_force_are_those_of_the_attempt(application: Application) -> None:
    @application.outbox.task(max_retries=0)
    def failing() -> None:
        raise RetryTask("not today")

    enqueue(application, failing)
    configurations(application).put(
        "failing", max_retries=2, retry_interval_seconds=0.001, max_retry_interval_seconds=0.002
    )
    scheduler = application.scheduler()
    for _ in range(3):
        application.make_due()
        scheduler.drain()

    assert {retried.delay_seconds for retried in application.signals.of(TaskRetried)} == {0.001, 0.002}
    (failed,) = application.signals.of(TaskFailed)
    assert failed.retry_count == 3
    assert application.rows()[0].max_retries == 0


def test_the_monitor_goes_by_the_number_of_retries_in_force(application: Application) -> None:
    application.outbox.task("render", max_retries=0)
    enqueue(application, "render")
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(
            update(tasks).values(status=int(Status.PROCESSING), retry_count=1, order_time=timedelta(seconds=-1))
        )
    configurations(application).put("render", max_retries=1)
    application.scheduler().drain()
    (told,) = application.signals.of(ClaimsRanOut)
    assert (told.given_back, told.failed) == (1, 0)


def test_an_attempt_has_the_time_in_force(application: Application) -> None:
    @application.outbox.task(max_retries=0)
    async def waiting() -> None:
        import asyncio

        await asyncio.sleep(60)

    enqueue(application, waiting)
    configurations(application).put("waiting", max_processing_time_seconds=0.05)
    application.scheduler().drain()
    assert "max_processing_time_seconds, 0.05" in application.signals.of(TaskFailed)[0].error


def test_concurrency_and_limit_in_force_bound_what_is_at_work_and_what_is_claimed(application: Application) -> None:
    seen: list[list[int]] = []
    lock, at_work, most = threading.Lock(), [0], [0]

    @application.outbox.task(concurrency=5)
    def counting() -> None:
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
            if not seen:
                seen.append(sorted(application.statuses()))
        time.sleep(0.01)
        with lock:
            at_work[0] -= 1

    enqueue(application, counting, 6)
    configurations(application).put("counting", concurrency=1, limit=4)
    application.scheduler().drain()

    assert seen == [[Status.PENDING] * 2 + [Status.PROCESSING] * 4]
    assert most == [1]
    assert application.statuses() == [Status.SUCCESS] * 6


def test_the_interval_in_force_lies_between_two_claims(application: Application) -> None:
    tasks, claimed = application.outbox.tasks, list[datetime]()

    @application.outbox.task(concurrency=1)
    def paced() -> None:
        # Not when it begins, which a busy machine decides.
        (row,) = application.rows(select(tasks.c.modified_at).where(tasks.c.status == int(Status.PROCESSING)))
        claimed.append(row.modified_at)

    enqueue(application, paced, 3)
    configurations(application).put("paced", interval_seconds=0.3)
    with application.scheduler(max_pause_seconds=0.05, claim_lease_seconds=600):  # which nobody renews meanwhile
        eventually(lambda: len(claimed) == 3)
    assert all(later - earlier > timedelta(seconds=0.29) for earlier, later in pairwise(claimed))


def test_a_drain_leaves_what_its_pace_does_not_let_go(application: Application) -> None:
    application.outbox.task("paced", concurrency=1, interval_seconds=60)(lambda: None)
    enqueue(application, "paced", 2)
    application.scheduler().drain()
    assert sorted(application.statuses()) == [Status.PENDING, Status.SUCCESS]


# -- messages --------------------------------------------------------------------------------------------


def test_messages_that_are_off_wait_and_cost_others_nothing(application: Application) -> None:
    application.outbox.message("invoice.issued")
    publisher = MemoryPublisher()
    with application.session() as session, session.begin():
        application.outbox.publish(session, "invoice.issued", {})
    publish(application)
    configurations(application).put("user.registered", enabled=False)
    scheduler = application.scheduler(publisher)
    scheduler.drain()
    assert [record.topic for record in publisher.records] == ["invoice.issued"]

    configurations(application).put("user.registered", enabled=True)
    scheduler.drain()
    assert [record.topic for record in publisher.records] == ["invoice.issued", "user.registered"]


def test_no_round_has_more_messages_of_a_type_than_its_limit(application: Application) -> None:
    batches: list[int] = []

    class Counting(MemoryPublisher):
        def publish(self, batch: Any) -> Any:
            batches.append(len(batch))
            return super().publish(batch)

    publish(application, 7)
    configurations(application).put("user.registered", limit=3)
    application.scheduler(Counting()).drain()
    assert max(batches) <= 3
    assert application.statuses() == [Status.SUCCESS] * 7


@pytest.mark.parametrize("ordered", [False, True])
def test_messages_retry_as_is_in_force(application: Application, ordered: bool) -> None:
    class Failing(MemoryPublisher):
        def publish(self, batch: Any) -> Any:
            return [Retry("not today") for _ in batch]

    application.outbox.message("moved", ordered=ordered, max_retries=10)
    with application.session() as session, session.begin():
        application.outbox.publish(session, "moved", {}, key="A1")
    configurations(application).put("moved", max_retries=1, retry_interval_seconds=0, max_retry_interval_seconds=0)
    scheduler = application.scheduler(Failing())
    drain_until(scheduler, lambda: application.statuses() == [Status.FAILED])
    assert [retried.delay_seconds for retried in application.signals.of(TaskRetried)] == [0]
    assert application.signals.of(TaskFailed)[0].retry_count == 2


# -- read again while running ----------------------------------------------------------------------------


def test_a_running_scheduler_takes_changes_over(application: Application) -> None:
    done: list[int] = []

    @application.outbox.task()
    def counted(ctx: TaskContext) -> None:
        done.append(ctx.attempt)

    configs = configurations(application)
    configs.put("counted", enabled=False)
    with application.scheduler(configuration_interval_seconds=0.05):
        enqueue(application, counted)
        configs.put("counted", enabled=True)
        eventually(lambda: done == [1])
        configs.remove("counted")
        eventually(lambda: len(application.signals.of(ConfigurationChanged)) == 3)
    assert [told.options for told in application.signals.of(ConfigurationChanged)] == [
        (("enabled", False),),
        (("enabled", True),),
        (),
    ]


def test_claimed_tasks_that_wait_are_given_back_when_their_type_is_switched_off(application: Application) -> None:
    gate, begun = threading.Event(), threading.Event()

    @application.outbox.task(concurrency=1, limit=5)
    def slow() -> None:
        begun.set()
        gate.wait(240)

    enqueue(application, slow, 5)
    with application.scheduler(configuration_interval_seconds=0.05):
        assert begun.wait(60)
        configurations(application).put("slow", enabled=False)
        eventually(lambda: application.statuses().count(Status.PENDING) == 4)
        gate.set()
        eventually(lambda: application.statuses().count(Status.SUCCESS) == 1)
    waiting = [row for row in application.rows() if row.status == Status.PENDING]
    assert [row.retry_count for row in waiting] == [0] * 4


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"concurrency": 0}, "concurrency is 0"),
        ({"schedule_limit": -5}, "limit is -5"),
        ({"retry_interval_seconds": -1.0}, "retry_interval_seconds is -1.0"),
        ({"max_retries": -1}, "max_retries is -1"),
        ({"max_retry_interval_seconds": 0.5}, "max_retry_interval_seconds is 0.5"),
    ],
)
def test_a_wrong_row_is_told_once_and_changes_nothing(
    application: Application, values: dict[str, Any], told: str
) -> None:
    application.outbox.task("counted")(lambda: None)
    by_hand(application, "counted", **values)
    by_hand(application, "of.nobody", **values)
    enqueue(application, "counted")
    with application.scheduler(configuration_interval_seconds=0.02) as scheduler:
        eventually(lambda: application.statuses() == [Status.SUCCESS])
        for _ in range(3):
            scheduler.types.read()
    (ignored,) = application.signals.of(ConfigurationIgnored)
    assert ignored.task_type == "counted"
    assert ignored.error.startswith(told)
    assert faults(application) == []
    assert configurations(application).handler_types()["counted"].concurrency == 10


def test_text_in_a_column_of_numbers_is_ignored_as_well(sqlite_application: Application) -> None:
    application = sqlite_application
    with application.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO asyncflow_schedule_cfg (task_type, enabled, concurrency, modified_at) "
                "VALUES ('user.registered', 'perhaps', 'many', '2020-01-01 00:00:00.000000')"
            )
        )
    publish(application)
    application.scheduler().drain()
    assert application.statuses() == [Status.SUCCESS]
    assert len(application.signals.of(ConfigurationIgnored)) == 1


def test_the_configuration_costs_no_statement_for_a_message(application: Application) -> None:
    statements: list[str] = []
    event.listen(application.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    application.outbox.task("counted")(lambda: None)
    publish(application, 50)
    enqueue(application, "counted", 50)
    configurations(application).put("counted", concurrency=5)
    statements.clear()
    application.scheduler().drain()
    assert len([text for text in statements if text.startswith("SELECT asyncflow_schedule_cfg")]) == 1


def test_an_ordered_key_is_held_up_and_released_as_its_type_goes_off_and_on(application: Application) -> None:
    application.outbox.message("moved", ordered=True, max_retries=5)
    with application.session() as session, session.begin():
        for number in range(3):
            application.outbox.publish(session, "moved", {"number": number}, key="A1")
    outcomes: list[Any] = [Retry("once")]

    class Once(MemoryPublisher):
        def publish(self, batch: Any) -> Any:
            return [outcomes.pop()] if outcomes else super().publish(batch)

    publisher = Once()
    configs = configurations(application)
    configs.put("moved", retry_interval_seconds=0, max_retry_interval_seconds=0)
    scheduler: Scheduler = application.scheduler(publisher)
    scheduler.drain()
    configs.put("moved", enabled=False)
    with application.session() as session, session.begin():
        application.outbox.publish(session, "moved", {"number": 3}, key="A1")
    scheduler.drain()
    configs.put("moved", enabled=True)
    drain_until(scheduler, lambda: len(publisher.records) == 4)
    assert [record.value for record in publisher.records] == [b'{"number":%d}' % number for number in range(4)]
    assert application.signals.of(PageFetched)


def test_a_rejected_message_fails_whatever_is_configured(application: Application) -> None:
    class Rejecting(MemoryPublisher):
        def publish(self, batch: Any) -> Any:
            return [Rejected("too large") for _ in batch]

    publish(application)
    configurations(application).put("user.registered", max_retries=100)
    application.scheduler(Rejecting()).drain()
    assert application.statuses() == [Status.FAILED]
