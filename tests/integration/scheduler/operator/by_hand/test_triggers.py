"""What a person calls for happens once, now or not at all, and the audit tells who did it."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, select

from asyncflow import JobSettings, Scheduler, ShardingContext, SimpleJob
from asyncflow.errors import OptionError
from asyncflow.events import JobItemFinished
from asyncflow.outbox.declarations.periodic_task import NEVER
from asyncflow.scheduler import Audit
from asyncflow.scheduler.connections import again
from asyncflow.scheduler.jobs.marks import Marks
from asyncflow.scheduler.jobs.summons import Summons
from asyncflow.scheduler.operator.by_hand.triggers import Triggers
from asyncflow.scheduler.operator.schedules import Schedules
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Network
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

QUICK: dict[str, Any] = {
    "heartbeat_seconds": 0.1,
    "lease_seconds": 600.0,
    "tick": 0.1,
    "periodic_interval_seconds": 0.1,
}
YEARLY = "0 0 1 1 *"
on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


class Counted:
    """Have schedulers with one job that is due once a year, and count its runs."""

    def __init__(self, application: Application, **options: Any) -> None:
        self.application = application
        self.runs: Counter[int] = Counter()
        self.options = {"cron": YEARLY, "sharding_total_count": 4, **options}
        self.triggers = Triggers(application.engine, application.outbox)

    def scheduler(self) -> Scheduler:
        application = self.application
        job = SimpleJob("count", self._count, settings=JobSettings(**self.options))
        publishers = {"kafka": MemoryPublisher()}
        return Scheduler(
            application.engine, application.outbox, publishers, jobs=[job], hooks=[application.signals], **QUICK
        )

    def _count(self, context: ShardingContext) -> None:
        self.runs[context.sharding_item] += 1

    def call(self) -> int:
        return self.triggers.run_job("count", actor="ann", reason="to see")

    def is_owed(self) -> bool:
        """Tell whether an item has a run that has not begun."""
        shards = self.application.outbox.shards
        with self.application.engine.connect() as connection:
            return any(connection.execute(select(shards.c.misfire).where(shards.c.job == "count")).scalars())

    def owned(self) -> Counter[Any]:
        """Return how many items each owner has; those of nobody are None's."""
        shards = self.application.outbox.shards
        with self.application.engine.connect() as connection:
            return Counter(connection.execute(select(shards.c.owner).where(shards.c.job == "count")).scalars())


def actions(application: Application) -> list[tuple[str, str, str | None]]:
    return [(one.action, one.actor, one.task_key) for one in Audit(application.engine, application.outbox).entries()]


@pytest.mark.parametrize("monitored", [True, False])
def test_each_item_runs_once_more_whoever_owns_it(application: Application, monitored: bool) -> None:
    counted = Counted(application, monitor_execution=monitored)
    with counted.scheduler(), counted.scheduler():
        eventually(lambda: None not in counted.owned() and list(counted.owned().values()) == [2, 2])
        for called in range(1, 4):
            assert counted.call() == 4
            eventually(lambda called=called: counted.runs == dict.fromkeys(range(4), called))  # type: ignore[misc]
        eventually(lambda: len(application.signals.of(JobItemFinished)) >= 12)
    assert counted.runs == dict.fromkeys(range(4), 3)  # and none a fourth time
    assert actions(application) == [("trigger", "ann", "count")] * 3


def test_a_call_is_one_run_though_it_is_seen_again_before_that_is_marked(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(application, sharding_total_count=1)
    looks = 0
    write, take_owed = Marks.write, Summons.take_owed

    def seen(summons: Summons) -> frozenset[int]:
        nonlocal looks
        owed = take_owed(summons)
        looks += bool(owed)
        return owed

    def mark_late(marks: Marks, item: int, epoch: int, **values: bool) -> bool:
        if values.get("running"):
            before = looks
            eventually(lambda: looks >= before + 2)  # two, of which the second began after the first was done
        return write(marks, item, epoch, **values)

    monkeypatch.setattr(Summons, "take_owed", seen)
    monkeypatch.setattr(Marks, "write", mark_late)
    with counted.scheduler():
        eventually(lambda: list(counted.owned()) != [None])
        counted.call()
        eventually(lambda: bool(application.signals.of(JobItemFinished)))
        monkeypatch.setattr(Marks, "write", write)
        counted.call()
        eventually(lambda: len(application.signals.of(JobItemFinished)) >= 2)
    assert counted.runs == {0: 2}


def test_what_cannot_run_is_refused_with_the_remedy(sqlite_application: Application) -> None:
    counted = Counted(sqlite_application)
    with pytest.raises(OptionError, match="there is no job 'count'"):
        counted.call()
    scheduler = counted.scheduler()
    scheduler.drain()
    assert counted.runs == dict.fromkeys(range(4), 1)
    Schedules(sqlite_application.engine, sqlite_application.outbox).pause("count")
    with pytest.raises(OptionError, match="asyncflow jobs resume"):
        counted.call()
    assert actions(sqlite_application) == []
    scheduler.stop()


class Reports:
    """Have an application with a periodic task, and a way to look at its row."""

    def __init__(self, application: Application) -> None:
        self.application = application

        @application.outbox.task("report")
        def report(year: int) -> None: ...

        application.outbox.periodic(report, YEARLY, name="yearly", arguments={"year": 1})
        self.triggers = Triggers(application.engine, application.outbox)
        self.timetable = application.scheduler(**QUICK).machinery.staff.timetable
        self.step()

    def step(self) -> None:
        while self.timetable.step() == 0:
            pass
        self.timetable.close()

    def entry(self) -> Any:
        (entry,) = Schedules(self.application.engine, self.application.outbox).periodic()
        return entry

    def tasks(self) -> int:
        return len(self.application.rows())


def test_a_periodic_task_is_due_now_and_then_by_its_plan_again(application: Application) -> None:
    reports = Reports(application)
    planned = reports.entry().next_due
    assert reports.tasks() == 0
    assert reports.triggers.periodic_now("yearly", actor="ann")
    assert not reports.triggers.periodic_now("yearly", actor="bob")  # it is due already
    reports.step()
    reports.step()
    assert reports.tasks() == 1
    assert reports.entry().next_due == planned
    assert actions(application) == [("trigger", "ann", "yearly")]


def test_a_paused_one_is_not_due_though_its_code_is_deployed_anew(application: Application) -> None:
    reports = Reports(application)
    planned = reports.entry().next_due
    assert reports.triggers.pause_periodic("yearly", actor="ann")
    assert not reports.triggers.pause_periodic("yearly", actor="ann")
    assert (reports.entry().paused, reports.entry().next_due) == (True, NEVER)
    with pytest.raises(OptionError, match="is paused; asyncflow periodic --resume first"):
        reports.triggers.periodic_now("yearly", actor="ann")
    again = application.scheduler(**QUICK).machinery.staff.timetable  # another process, with the same code
    again.step()
    again.close()
    reports.step()
    assert reports.entry().paused
    assert reports.triggers.resume_periodic("yearly", actor="ann")
    assert not reports.triggers.resume_periodic("yearly", actor="ann")
    reports.step()
    assert (reports.entry().next_due, reports.tasks()) == (planned, 0)
    assert actions(application) == [("resume", "ann", "yearly"), ("pause", "ann", "yearly")]


def test_a_periodic_task_that_is_none_is_refused_with_the_nearest(sqlite_application: Application) -> None:
    reports = Reports(sqlite_application)
    for verb in (reports.triggers.periodic_now, reports.triggers.pause_periodic, reports.triggers.resume_periodic):
        with pytest.raises(OptionError, match=r"there is no periodic task 'yeraly' \(did you mean 'yearly'\?\)"):
            verb("yeraly", actor="ann")
    with pytest.raises(OptionError, match="actor"):
        reports.triggers.periodic_now("yearly", actor="")


@on_servers
def test_a_run_is_owed_once_though_it_is_done_before_its_lost_answer_is_asked_for(
    network: Network, through: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(Application(network.past), sharding_total_count=1)
    counted.triggers = Triggers(through, counted.application.outbox)
    called = 0
    with counted.scheduler():
        eventually(lambda: list(counted.owned()) != [None])
        monkeypatch.setattr(again, "time", SimpleNamespace(sleep=lambda _: eventually(lambda: not counted.is_owed())))
        for _ in network.proxy.each_lost():
            called += 1
            assert counted.call() == 1
            eventually(lambda called=called: counted.runs[0] >= called)  # type: ignore[misc]
        monkeypatch.undo()
        eventually(lambda: len(counted.application.signals.of(JobItemFinished)) >= called)
    assert not counted.is_owed()
    assert counted.runs[0] == called
    assert len(actions(counted.application)) == called


@on_servers
def test_a_due_time_is_set_once_though_it_is_over_before_its_lost_answer_is_asked_for(
    network: Network, through: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = Reports(Application(network.past))
    reports.triggers = Triggers(through, reports.application.outbox)
    monkeypatch.setattr(again, "time", SimpleNamespace(sleep=lambda _: reports.step()))
    called = 0
    for _ in network.proxy.each_lost():
        called += 1
        assert reports.triggers.periodic_now("yearly", actor="ann")
        reports.step()
        assert reports.tasks() == called
    assert len(actions(reports.application)) == called
