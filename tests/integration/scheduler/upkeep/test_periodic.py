"""Periodic tasks: one task for each due time by the database's clock, however many instances look."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from sqlalchemy import MetaData, delete, event, select, update
from sqlalchemy.exc import OperationalError

from asyncflow import Outbox, TaskContext
from asyncflow.events import Hooks, PeriodicTasksEnqueued, StepFailed
from asyncflow.scheduler import SchedulerSettings
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.table.queries import read_clock
from asyncflow.scheduler.upkeep.timetable import Timetable
from tests.integration.outbox.watch import statements_of
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

HOUR = timedelta(hours=1)
YEARLY = "0 0 1 1 *"  # once, when it is let be due; no minute that begins meanwhile brings a second one
Declare = Callable[..., Outbox]


def timetable(application: Application, outbox: Outbox | None = None, **settings: Any) -> Timetable:
    """Return the timetable of an instance of its own, that of another deployment if given another outbox."""
    chosen, hooks = SchedulerSettings(**settings), Hooks([application.signals])
    return Timetable(Instance(outbox or application.outbox, application.engine, chosen, hooks))


def look(one: Timetable) -> float:
    """Step until nothing is left to do; return the pause."""
    while (pause := one.step()) == 0:
        pass
    one.close()
    return pause


def now(application: Application) -> datetime:
    with application.engine.connect() as connection:
        now: datetime = connection.execute(read_clock()).scalar_one()
        return now


def entry(application: Application) -> Any:
    (row,) = application.rows(select(application.outbox.periodic_entries))
    return row


def let_be_due(application: Application, ago: timedelta) -> datetime:
    """Let every entry have been due at a full minute, that long ago."""
    due = (now(application) - ago).replace(second=0, microsecond=0)
    with application.engine.begin() as connection:
        connection.execute(update(application.outbox.periodic_entries).values(next_due=due))
    return due


def due_times(application: Application) -> list[datetime]:
    return sorted(datetime.fromisoformat(orjson.loads(row.headers)["due-time"]) for row in application.rows())


def deployment(application: Application, cron: str, **options: Any) -> Outbox:
    """Return the outbox of an instance that was deployed with this plan."""
    outbox = Outbox(MetaData())
    outbox.task("report.send")
    outbox.periodic("report.send", cron, **options)
    return outbox


@pytest.fixture
def declare(application: Application) -> Declare:
    """Declare the task ``report.send`` with a plan: every minute, unless told otherwise."""

    def declare(cron: str = "* * * * *", **options: Any) -> Outbox:
        application.outbox.task("report.send")
        application.outbox.periodic("report.send", cron, **options)
        return application.outbox

    return declare


def test_the_first_look_records_the_plan_and_enqueues_nothing(application: Application, declare: Declare) -> None:
    declare("0 3 * * *", timezone="Europe/Berlin")
    before = now(application)
    look(timetable(application))
    recorded = entry(application)
    assert (recorded.name, recorded.cron, recorded.timezone) == ("report.send", "0 3 * * *", "Europe/Berlin")
    assert before < recorded.next_due <= before + 25 * HOUR
    assert recorded.last_due is None
    assert application.rows() == []


def test_a_due_time_gets_one_task_with_arguments_and_header(application: Application, declare: Declare) -> None:
    declare(YEARLY, arguments={"kind": "daily"})
    one = timetable(application)
    look(one)
    due = let_be_due(application, timedelta(0))
    look(one)
    look(one)
    (row,) = application.rows()
    assert orjson.loads(row.payload) == {"kind": "daily"}
    assert due_times(application) == [due]
    assert entry(application).last_due == due
    assert entry(application).next_due > now(application) - timedelta(seconds=60)
    assert application.signals.of(PeriodicTasksEnqueued) == [
        PeriodicTasksEnqueued("report.send", "report.send", due, 1)
    ]


@pytest.mark.parametrize(("misfire", "count"), [("once", 1), ("all", 61), ("skip", 1)])
def test_times_missed_while_nobody_ran(application: Application, declare: Declare, misfire: str, count: int) -> None:
    declare(misfire=misfire)
    look(timetable(application))
    first = let_be_due(application, HOUR)
    before = now(application)
    look(timetable(application))
    got = due_times(application)
    assert len(got) in (count, count + 1)  # a minute may begin meanwhile
    assert len(set(got)) == len(got)
    if misfire == "skip":
        assert before - timedelta(seconds=60) <= got[0]
    else:
        assert got[0] == first


def test_what_was_missed_by_more_than_the_grace_is_dropped(application: Application, declare: Declare) -> None:
    declare("0 0 1 1 *", misfire="skip", grace_seconds=HOUR.total_seconds())
    look(timetable(application))
    let_be_due(application, 2 * HOUR)
    look(timetable(application))
    assert application.rows() == []
    assert entry(application).next_due > now(application)


def test_many_instances_at_once_enqueue_one_task_for_each_due_time(application: Application, declare: Declare) -> None:
    declare(misfire="all")
    instances = [timetable(application) for _ in range(6)]
    for one in instances:
        look(one)
    for _ in range(5):
        let_be_due(application, timedelta(minutes=2))
        with application.engine.begin() as connection:
            connection.execute(delete(application.outbox.tasks))
        start = threading.Barrier(len(instances), timeout=60)

        def race(one: Timetable, start: threading.Barrier = start) -> None:
            start.wait()
            look(one)

        with ThreadPoolExecutor(len(instances)) as threads:
            list(threads.map(race, instances))
        got = due_times(application)
        assert len(got) in (3, 4)
        assert len(set(got)) == len(got)


def test_many_instances_at_once_record_one_entry(application: Application, declare: Declare) -> None:
    declare()
    start = threading.Barrier(6, timeout=60)

    def begin(one: Timetable) -> None:
        start.wait()
        look(one)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(begin, [timetable(application) for _ in range(6)]))
    assert entry(application).name == "report.send"


def test_an_instance_that_fails_in_between_leaves_the_due_time_to_the_next(
    application: Application, declare: Declare
) -> None:
    declare(YEARLY)
    one, other = timetable(application), timetable(application)
    look(one)
    due = let_be_due(application, timedelta(0))

    def fail(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO asyncflow_task"):
            raise OperationalError(statement, None, ConnectionResetError("cut off"))

    event.listen(application.engine, "before_cursor_execute", fail)
    one.step()
    event.remove(application.engine, "before_cursor_execute", fail)
    assert application.signals.wait_for(StepFailed).loop == "periodic"
    assert application.rows() == []
    look(other)
    assert due_times(application) == [due]


def test_one_that_cannot_be_enqueued_does_not_hold_up_the_others(application: Application, declare: Declare) -> None:
    declare(YEARLY, arguments={"what": []})
    application.outbox.periodic("report.send", YEARLY, name="zother")
    one = timetable(application)
    look(one)
    application.outbox.periodic_tasks["report.send"].arguments["what"].append(object())
    let_be_due(application, timedelta(0))
    assert look(one) > 0
    assert [event.name for event in application.signals.of(PeriodicTasksEnqueued)] == ["zother"]
    assert len(application.signals.of(StepFailed)) >= 1


def test_a_changed_plan_takes_effect_at_the_start_of_the_new_deployment(application: Application) -> None:
    half_an_hour_off = f"{(now(application).minute + 30) % 60} * * * *"  # so that nothing is due meanwhile
    look(timetable(application, deployment(application, "0 0 1 1 *")))
    look(timetable(application, deployment(application, half_an_hour_off)))
    recorded = entry(application)
    assert recorded.cron == half_an_hour_off
    assert recorded.next_due - now(application) <= HOUR
    look(timetable(application, deployment(application, half_an_hour_off, timezone="Asia/Tokyo")))
    assert entry(application).timezone == "Asia/Tokyo"
    assert application.rows() == []


def test_two_versions_side_by_side_go_by_the_later_start_and_enqueue_once(application: Application) -> None:
    old = timetable(application, deployment(application, "0 0 1 1 *", misfire="all"))
    look(old)
    new = timetable(application, deployment(application, "* * * * *", misfire="all"))
    look(new)
    let_be_due(application, timedelta(minutes=3))
    start = threading.Barrier(2, timeout=60)

    def race(one: Timetable) -> None:
        start.wait()
        look(one)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(race, [old, new]))
    look(old)
    got = due_times(application)
    assert len(got) in (4, 5)
    assert len(set(got)) == len(got)
    assert entry(application).cron == "* * * * *"


def test_a_time_due_under_the_old_plan_is_not_lost_by_the_change(application: Application) -> None:
    look(timetable(application, deployment(application, "0 0 1 1 *")))
    due = let_be_due(application, HOUR)
    look(timetable(application, deployment(application, "0 0 2 2 *")))
    assert due_times(application) == [due]
    assert entry(application).cron == "0 0 2 2 *"


def test_a_clock_that_was_put_back_lets_no_time_be_due_twice(application: Application) -> None:
    look(timetable(application, deployment(application, "* * * * *")))
    ahead = (now(application) + HOUR).replace(second=0, microsecond=0)
    with application.engine.begin() as connection:  # as if it had been enqueued before the clock was put back
        entries = application.outbox.periodic_entries
        connection.execute(update(entries).values(last_due=ahead, next_due=ahead + timedelta(minutes=1)))
    look(timetable(application, deployment(application, "*/2 * * * *")))
    assert entry(application).next_due > ahead


def test_a_handler_learns_its_due_time(application: Application) -> None:
    got: list[Any] = []

    @application.outbox.task
    def tick(ctx: TaskContext) -> None:
        got.append(ctx.due_time)

    application.outbox.periodic(tick, YEARLY)
    scheduler = application.scheduler()
    scheduler.drain()
    due = let_be_due(application, timedelta(0))
    scheduler.drain()
    with application.session() as session, session.begin():
        application.outbox.enqueue(session, tick)
    scheduler.drain()
    scheduler.stop()
    assert got == [due, None]
    assert got[0].tzinfo is timezone.utc or got[0].utcoffset() == timedelta(0)


def test_running_schedulers_enqueue_each_second_once_and_on_time(application: Application) -> None:
    late: dict[datetime, list[float]] = {}

    @application.outbox.task
    def tick(ctx: TaskContext) -> None:
        assert ctx.due_time is not None
        late.setdefault(ctx.due_time, []).append((datetime.now(timezone.utc) - ctx.due_time).total_seconds())

    application.outbox.periodic(tick, "* * * * * *", misfire="all")
    schedulers = [application.scheduler() for _ in range(3)]
    for scheduler in schedulers:
        scheduler.start()
    try:
        eventually(lambda: len(late) >= 3)
    finally:
        for scheduler in schedulers:
            scheduler.stop()
    assert all(len(runs) == 1 for runs in late.values())
    enqueued = due_times(application)
    assert enqueued == [enqueued[0] + timedelta(seconds=number) for number in range(len(enqueued))]
    assert set(late) <= set(enqueued)


def test_an_idle_timetable_asks_seldom(application: Application, declare: Declare) -> None:
    declare("0 0 1 1 *")
    one = timetable(application, periodic_interval_seconds=30)
    look(one)
    with statements_of(application.engine) as sent:
        assert one.step() == 30
    assert len(sent) == 1


def test_without_periodic_tasks_the_database_is_not_asked(application: Application) -> None:
    with statements_of(application.engine) as sent:
        assert timetable(application).step() == 30
    assert sent == []


def test_it_sleeps_until_the_next_due_time(application: Application, declare: Declare) -> None:
    declare("* * * * *")
    one = timetable(application, periodic_interval_seconds=3600)
    before = now(application)
    pause = look(one)
    assert 0 < pause <= (entry(application).next_due - before).total_seconds() + 1
