"""Charts tell how many tasks came to which outcome, of all processes together, and look at no task for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, func, insert, select

from asyncflow import Status
from asyncflow.events import Hooks, TaskFailed, TaskRetried, TasksSettled
from asyncflow.outbox.declarations.signals import RejectTask
from asyncflow.scheduler.charts import queries
from asyncflow.scheduler.charts.chart_writer import ChartWriter
from asyncflow.scheduler.charts.charts import KEPT_HOURS, Chart, Charts, Span, charts
from asyncflow.scheduler.charts.minute_counts import MinuteCounts
from asyncflow.scheduler.connections.database import Database
from asyncflow.testing import MemoryPublisher
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually


class Process:
    """Count and write as a scheduler does, with a clock of the test's own."""

    def __init__(self, application: Application) -> None:
        self.seconds = 0.0
        self.counts = MinuteCounts(lambda: self.seconds)
        database = Database(application.engine)
        self.writer = ChartWriter(application.outbox, database, self.counts, Hooks([application.signals]))

    def count(self, **sent: int) -> None:
        types = tuple((name.replace("_", "."), count) for name, count in sent.items())
        self.counts(TasksSettled("kafka", sum(sent.values()), 0, 0, 0.0, of_types=types))


def read(application: Application, **how: Any) -> Charts:
    return charts(application.engine, application.outbox, **how)


def rows(application: Application) -> int:
    with application.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(application.outbox.charts)).scalar_one())


@contextmanager
def statements(application: Application) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(*given: Any) -> None:
        seen.append(given[2])

    event.listen(application.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(application.engine, "before_cursor_execute", note)


def test_a_scheduler_leaves_the_counts_of_what_it_sent_did_retried_and_gave_up(application: Application) -> None:
    outbox = application.outbox

    @outbox.task(max_retries=1, retry_interval_seconds=0, max_retry_interval_seconds=0)
    def work(n: int) -> None:
        if n == 1:
            raise RejectTask("never")
        if n == 2:
            raise ValueError("twice")

    with application.session() as session, session.begin():
        for n in range(5):
            outbox.publish(session, "user.registered", {"n": n})
            outbox.enqueue(session, work, n=n)
    settled = {Status.SUCCESS, Status.FAILED}
    with application.scheduler(MemoryPublisher(), tick=0.1):
        eventually(lambda: set(application.statuses()) == settled)
    with statements(application) as seen:
        found = read(application)
    assert not [one for one in seen if outbox.tasks.name in one]
    assert found.of_all.totals == {"sent": 5, "done": 3, "failed": 2, "retried": 1}
    by_type = {one.task_type: one.totals for one in found.types}
    assert by_type["work"] == {"sent": 0, "done": 3, "failed": 2, "retried": 1}
    assert by_type["user.registered"] == {"sent": 5, "done": 0, "failed": 0, "retried": 0}
    assert not any(found.others.totals.values())
    # In this minute or the one before, whatever the clock of this machine says.
    assert sum(found.of_all.sent[-2:]) + sum(found.of_all.sent[-3:-2]) == 5
    assert read(application, span=Span.THREE_DAYS).of_all.totals == found.of_all.totals


def test_a_drain_leaves_its_counts_as_well(application: Application) -> None:
    with application.session() as session, session.begin():
        application.outbox.publish(session, "user.registered", {})
    application.scheduler().drain()
    assert read(application).of_all.totals["sent"] == 1


def test_several_processes_add_up_and_each_writes_rows_of_its_own(application: Application) -> None:
    processes = [Process(application) for _ in range(3)]
    for process in processes:
        for minute in range(2):
            process.seconds = minute * 60.0
            process.count(user_registered=2)
            process.writer.write()
    assert rows(application) <= 2 * 2 * len(processes)  # two, of at most two hours, each
    assert read(application, types=["user.registered"]).types[0].totals["sent"] == 12


def test_a_minute_costs_three_statements_and_one_without_a_task_none(application: Application) -> None:
    process = Process(application)
    process.count(user_registered=1)
    process.writer.write()
    process.count(user_registered=1)
    with statements(application) as seen:
        process.writer.write()
    words = [one.split()[0] for one in seen if "asyncflow_chart" in one or "SELECT" in one]
    assert words.count("DELETE") <= 2
    assert words.count("INSERT") <= 2  # where an hour has just ended
    with statements(application) as seen:
        process.writer.write()
        assert process.writer.step() > 0
    assert seen == []


def test_the_others_are_what_is_left_of_all_types(application: Application) -> None:
    process = Process(application)
    process.count(user_registered=5, rare_one=2, rare_two=1)
    process.counts(TaskRetried(uuid4(), "rare.one", 1, 1.0, "x"))
    process.writer.write()
    found = read(application, most=1)
    assert [one.task_type for one in found.types] == ["user.registered"]
    assert found.others.totals == {"sent": 0, "done": 3, "failed": 0, "retried": 1}
    asked = read(application, types=["rare.two", "not.there"])
    assert [one.totals["done"] for one in asked.types] == [1, 0]
    assert read(application, most=0).types == ()


def test_ten_thousand_types_leave_a_hundred_rows(application: Application) -> None:
    process = Process(application)
    for number in range(10_000):
        process.counts(TaskFailed(uuid4(), f"type.{number}", 1, "x"))
    process.writer.write()
    assert rows(application) <= 101
    assert read(application).of_all.totals["failed"] == 10_000


def test_a_count_stands_in_its_minute_by_the_databases_clock(application: Application) -> None:
    process = Process(application)
    for minutes_ago in (30, 3, 0):
        process.seconds = 3600.0 - minutes_ago * 60
        process.count(user_registered=minutes_ago + 1)
    process.writer.write()
    sent = read(application).of_all.sent
    found = [(len(sent) - place - 1, count) for place, count in enumerate(sent) if count]
    assert [count for _, count in found] == [31, 4, 1]
    # Ten seconds are one to the writer, so a count may stand in the minute beside; and a minute may end meanwhile.
    assert all(abs(ago - wanted) <= 1 for (ago, _), wanted in zip(found, (30, 3, 0), strict=True)), found
    tens = read(application, span=Span.THREE_DAYS)
    assert tens.step_seconds == 600
    assert len(tens.of_all.sent) == 432
    assert sum(tens.of_all.sent) == 36


def test_what_is_older_than_three_days_is_deleted_by_whoever_owns_the_first_shard(application: Application) -> None:
    outbox = application.outbox
    with application.engine.begin() as connection:
        hour = int(queries.now(connection) // 3600)
        row = {"task_type": "a", "total": 1, "counts": '{"done":[1]}'}
        ages = [1, KEPT_HOURS - 1, KEPT_HOURS + 2, 500]
        connection.execute(insert(outbox.charts), [{**row, "writer": uuid4(), "hour": hour - age} for age in ages])
    with application.scheduler(cleaning_interval_seconds=0.1, cleaning_batch=1, tick=0.1):
        eventually(lambda: rows(application) == 2)
    with application.engine.connect() as connection:
        kept = connection.execute(select(outbox.charts.c.hour)).scalars().all()
    assert min(kept) >= hour - KEPT_HOURS


def test_a_clock_that_is_set_back_overwrites_nothing(application: Application, monkeypatch: Any) -> None:
    process, hours = Process(application), [1000, 1001, 1002, 1003, 1000]
    for hour in hours:
        monkeypatch.setattr(queries, "now", lambda _, at=hour: at * 3600.0 + 100.0)
        process.count(user_registered=1)
        process.writer.write()
    monkeypatch.setattr(queries, "now", lambda _: 1003 * 3600.0 + 1800.0)
    assert read(application).of_all.totals["sent"] == len(hours)


def test_what_cannot_be_written_is_written_later(application: Application) -> None:
    process, outbox = Process(application), application.outbox
    process.count(user_registered=3)
    outbox.charts.drop(application.engine)
    with pytest.raises(Exception, match="asyncflow_chart"):
        process.writer.write()
    process.writer.close()  # is told, and raised to nobody
    outbox.charts.create(application.engine)
    process.writer.write()
    assert read(application).of_all.totals["sent"] == 3


def test_charts_of_nothing_are_flat(application: Application) -> None:
    found = read(application)
    assert found.of_all == Chart(
        task_type=None, sent=(0,) * 480, done=(0,) * 480, failed=(0,) * 480, retried=(0,) * 480
    )
    assert found.begin.second == 0
