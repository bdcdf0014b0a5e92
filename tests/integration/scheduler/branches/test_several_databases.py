"""One scheduler serves several databases: all of them, each by itself, with what they share."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.request import urlopen

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from asyncflow import AsyncScheduler, Scheduler, SimpleJob, TaskContext
from asyncflow.commands.processes.health import Health, HealthServer
from asyncflow.errors import OptionError, TablesMissingError, UndeliveredError, UnknownDatabaseError
from asyncflow.events import BreakerChanged, SchedulerStarted, SchedulerStopped, StepFailed, TasksSettled
from asyncflow.integrations.prometheus import MetricsServer
from asyncflow.scheduler import Outcome, Record
from asyncflow.scheduler.cluster.ownership import Ownership
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.branches.several import LONG, Several
from tests.integration.scheduler.publishers import Switch
from tests.unit.scheduler.waiting import eventually

NAMES = ("db0", "db1", "db2")


def named(spread: Several, kind: Any) -> Counter[str]:
    return Counter(event.database_name for event in spread.signals.of(kind))


def has_counted(scheduler: Scheduler | AsyncScheduler, name: str, count: int) -> bool:
    return scheduler.counters(name).succeeded == count


def test_what_commits_in_any_of_them_is_delivered_and_settled_there(spread: Several) -> None:
    with spread.scheduler() as scheduler:
        for number, name in enumerate(NAMES, 1):
            spread.publish(name, number)
        for number, name in enumerate(NAMES, 1):
            spread.wait_for_sent(name, number)
            spread.wait_for_settled(name, number)
            eventually(partial(has_counted, scheduler, name, number), LONG)
        assert scheduler.counters().succeeded == 6
        assert scheduler.databases == NAMES
    assert [spread.sent(name) for name in NAMES] == [1, 2, 3]
    assert spread.publisher.closed
    assert named(spread, SchedulerStarted) == named(spread, SchedulerStopped) == Counter(NAMES)
    assert all(event.clean for event in spread.signals.of(SchedulerStopped))
    assert set(named(spread, TasksSettled)) == set(NAMES)


def test_each_has_instances_and_leases_of_its_own(spread: Several) -> None:
    with spread.scheduler() as scheduler:
        for name, engine in spread.engines.items():
            branch = scheduler.branches.by_name[name]
            shards = spread.outbox.shards
            with engine.connect() as connection:
                owners = set(connection.scalars(select(shards.c.owner)))
                members = connection.scalars(select(spread.outbox.instances.c.instance)).all()
            assert owners == {branch.owner}
            assert members == [branch.owner]
    assert len({branch.owner for branch in scheduler.branches}) == 3


def are_users(spread: Several, name: str, accounts: list[str]) -> bool:
    with Session(spread.engines[name]) as session:
        return list(session.scalars(select(spread.application.User.account_no))) == accounts


def test_handlers_work_in_the_database_that_their_task_lies_in(spread: Several) -> None:
    user = spread.application.User

    @spread.outbox.task(transactional=True)
    def welcome(session: Session, account_no: str) -> None:
        session.add(user(account_no=account_no, name="welcome"))

    with spread.scheduler():
        for name, engine in spread.engines.items():
            with Session(engine) as session, session.begin():
                welcome.enqueue(session, account_no=f"of {name}")
        for name in NAMES:
            eventually(partial(are_users, spread, name, [f"of {name}"]), LONG)


def test_a_handler_is_told_in_which_of_them_its_task_lies(spread_files: Several) -> None:
    told: list[tuple[str, str]] = []

    @spread_files.outbox.task
    def look(ctx: TaskContext, wanted: str) -> None:
        told.append((wanted, ctx.database_name))

    for name, engine in spread_files.engines.items():
        with Session(engine) as session, session.begin():
            look.enqueue(session, wanted=name)
    assert spread_files.scheduler().drain(raise_errors=True).done == 3
    assert sorted(told) == [(name, name) for name in NAMES]


def test_a_drain_tells_of_all_together_and_of_each_apart(spread: Several) -> None:
    for number, name in enumerate(NAMES, 1):
        spread.publish(name, number)
    drained = spread.scheduler().drain(raise_errors=True)
    assert drained.sent == 6
    assert {name: one.sent for name, one in drained.databases.items()} == {"db0": 1, "db1": 2, "db2": 3}


def test_a_drain_tells_of_each_that_its_destination_is_away_though_the_first_has_found_it(
    spread_files: Several,
) -> None:
    spread_files.publisher = Switch(away=True)
    for name in NAMES:
        spread_files.publish(name)
    drained = spread_files.scheduler().drain()
    assert {name: one.unreachable for name, one in drained.databases.items()} == dict.fromkeys(NAMES, ("kafka",))
    assert drained.unreachable == ("kafka",)
    assert [type(error) for error in drained.errors] == [UndeliveredError]


def test_a_drain_goes_on_where_one_of_them_has_no_tables(spread_files: Several) -> None:
    spread_files.application.Base.metadata.drop_all(spread_files.engines["db0"])
    spread_files.publish("db1")
    drained = spread_files.scheduler().drain()
    assert (drained.sent, drained.unreachable) == (1, ("db0",))
    assert [type(error) for error in drained.errors] == [TablesMissingError]


def test_one_that_lacks_its_tables_comes_alive_when_they_are_there(spread_files: Several) -> None:
    metadata = spread_files.application.Base.metadata
    metadata.drop_all(spread_files.engines["db0"])
    with spread_files.scheduler() as scheduler:
        spread_files.publish("db1")
        spread_files.wait_for_sent("db1", 1)
        failed = spread_files.signals.wait_for(StepFailed, lambda event: event.loop == "start")
        assert failed.database_name == "db0"
        assert isinstance(failed.error, TablesMissingError)
        assert {branch.name: branch.fault() for branch in scheduler.branches} == {
            "db0": "it has not been begun yet",
            "db1": None,
            "db2": None,
        }
        metadata.create_all(spread_files.engines["db0"])
        spread_files.publish("db0")
        spread_files.wait_for_sent("db0", 1)
        spread_files.signals.wait_for(SchedulerStarted, lambda event: event.database_name == "db0")


def test_a_start_fails_as_that_of_one_does_if_none_can_be_begun_and_may_be_tried_again(spread_files: Several) -> None:
    metadata = spread_files.application.Base.metadata
    for engine in spread_files.engines.values():
        metadata.drop_all(engine)
    scheduler = spread_files.scheduler()
    with pytest.raises(TablesMissingError):
        scheduler.start()
    for engine in spread_files.engines.values():
        metadata.create_all(engine)
    with scheduler:
        spread_files.publish("db2")
        spread_files.wait_for_sent("db2", 1)


def test_a_destination_that_is_away_is_told_of_once_and_tried_for_all(spread_files: Several) -> None:
    publisher = Switch(away=True)
    spread_files.publisher = publisher
    with spread_files.scheduler(breaker_pause_seconds=0.2, max_breaker_pause_seconds=0.2) as scheduler:
        for name in NAMES:
            spread_files.publish(name)
        opened = spread_files.signals.wait_for(BreakerChanged, lambda event: event.state == "open")
        assert opened.database_name == ""
        eventually(lambda: scheduler.counters().breakers["kafka"] in ("open", "half-open"))
        for branch in scheduler.branches:
            assert branch.instance.lately.breakers()
        publisher.away = False
        for name in NAMES:
            spread_files.wait_for_sent(name, 1)
        eventually(lambda: scheduler.counters().breakers == {"kafka": "closed"})
        assert scheduler.counters().retried == 0


class Alone(MemoryPublisher):
    """Fail if two threads are in ``publish`` at once."""

    def __init__(self) -> None:
        super().__init__()
        self._inside = threading.Lock()
        self.met = False

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        if not self._inside.acquire(blocking=False):
            self.met = True
            raise RuntimeError("two at once")
        try:
            return super().publish(batch)
        finally:
            self._inside.release()


def test_a_shared_publisher_is_called_by_one_thread_at_a_time(spread_files: Several) -> None:
    publisher = Alone()
    spread_files.publisher = publisher
    with spread_files.scheduler(round_size=3):
        for name in NAMES:
            spread_files.publish(name, 60)
        for name in NAMES:
            spread_files.wait_for_sent(name, 60)
    assert not publisher.met


def test_a_database_costs_four_threads_with_one_destination(spread_files: Several) -> None:
    before = set(threading.enumerate())  # an earlier test may have left a thread that hangs, on purpose
    each = {"asyncflow-cluster", "asyncflow-relay-kafka", "asyncflow-handlers", "asyncflow-keepers"}

    def ours() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread not in before]

    def of_each_database() -> set[str]:
        counts = Counter(thread.name for thread in ours())
        return {name for name, count in counts.items() if name.startswith("asyncflow") and count == 3}

    with spread_files.scheduler():
        eventually(lambda: of_each_database() == each)
        assert len(ours()) <= 3 * 4 + 4  # the watchdog, the metronome's two, a second writer
    eventually(lambda: len(ours()) <= 1)


def have_halves(shares: Sequence[Ownership]) -> bool:
    return all(len(share.epochs()) == 32 for share in shares)


def test_a_second_scheduler_of_the_same_databases_shares_each_of_them(spread_files: Several) -> None:
    quick: dict[str, Any] = {"heartbeat_seconds": 0.1}
    with (
        spread_files.scheduler(**quick) as first,
        spread_files.scheduler(publisher=MemoryPublisher(), **quick) as other,
    ):
        for name in NAMES:
            shares = [one.branches.by_name[name].machinery.standing.ownership for one in (first, other)]
            eventually(partial(have_halves, shares), LONG)


def test_what_goes_with_one_database_alone_is_refused_with_a_way_out(spread_files: Several) -> None:
    class Sweep(SimpleJob):
        def execute(self, context: Any) -> None: ...

    with pytest.raises(OptionError, match="jobs are given to a scheduler of several databases"):
        spread_files.scheduler(jobs=[Sweep("sweep", cron="0 * * * *", sharding_total_count=1)])
    with pytest.raises(UnknownDatabaseError, match="name one of the scheduler's databases: db0, db1, db2"):
        assert spread_files.scheduler().engine
    with pytest.raises(UnknownDatabaseError, match=r"no database 'db9' \(did you mean 'db"):
        spread_files.scheduler().counters("db9")
    with pytest.raises(AttributeError, match=r"scheduler\.branches"):
        assert spread_files.scheduler().worker


def test_two_names_of_one_database_are_refused(spread_files: Several) -> None:
    engine = spread_files.engines["db0"]
    with pytest.raises(OptionError, match="'first' and 'again' are the same one"):
        spread_files.scheduler({"first": engine, "again": create_engine(engine.url)})


@pytest.mark.parametrize("engines", [{}, {"a b": None}, {"db0": "sqlite://"}])
def test_what_is_no_dict_of_engines_is_refused(spread_files: Several, engines: Any) -> None:
    with pytest.raises(OptionError, match="give "):
        Scheduler(engines, spread_files.outbox, {"kafka": MemoryPublisher()})


def test_one_database_may_have_a_name(spread_files: Several) -> None:
    with spread_files.scheduler({"db1": spread_files.engines["db1"]}) as scheduler:
        spread_files.publish("db1")
        spread_files.wait_for_sent("db1", 1)
        assert scheduler.databases == ("db1",)


def test_metrics_tell_each_of_them_apart(spread_files: Several) -> None:
    with spread_files.scheduler() as scheduler, MetricsServer(scheduler, 0) as server:
        spread_files.publish("db1", 2)
        spread_files.wait_for_sent("db1", 2)
        eventually(lambda: scheduler.counters("db1").succeeded == 2, LONG)
        with urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
            page = answer.read().decode()
    assert 'asyncflow_tasks_settled_total{database="db1",destination="kafka",outcome="succeeded"} 2.0' in page
    assert 'asyncflow_queue_seconds_count{database="db1",destination="kafka"} 2.0' in page
    for name in NAMES:
        assert f'asyncflow_instances{{database="{name}"}} 1.0' in page
        assert f'asyncflow_look_failed{{database="{name}"}} 0.0' in page
    assert page.count("# TYPE asyncflow_instances ") == 1


def test_a_probe_hears_which_of_them_is_not_at_work(spread_files: Several) -> None:
    spread_files.application.Base.metadata.drop_all(spread_files.engines["db0"])
    scheduler = spread_files.scheduler()
    health = Health(scheduler)
    assert health.fault_of_readiness() == "none of its databases is at work"
    with scheduler, HealthServer(health, 0) as server:
        with urlopen(f"http://127.0.0.1:{server.port}/readyz") as answer:
            told = json.loads(answer.read())
        assert told == {"status": "ok", "databases": {"db0": "it has not been begun yet"}}
    assert health.fault_of_life() == "the scheduler has stopped"


async def succeeded(scheduler: AsyncScheduler, name: str) -> None:
    while not has_counted(scheduler, name, 1):
        await asyncio.sleep(0.01)


async def test_an_asynchronous_application_has_coroutines_at_home_in_each_of_them(spread_files: Several) -> None:
    user = spread_files.application.User

    @spread_files.outbox.task(transactional=True)
    async def welcome(session: AsyncSession, account_no: str) -> None:
        session.add(user(account_no=account_no))

    engines = {
        name: create_async_engine(engine.url.set(drivername="sqlite+aiosqlite"), connect_args={"timeout": 60})
        for name, engine in spread_files.engines.items()
    }
    publishers = {"kafka": spread_files.publisher}
    async with AsyncScheduler(engines, spread_files.outbox, publishers, hooks=[spread_files.signals]) as scheduler:
        for name, engine in engines.items():
            async with AsyncSession(engine) as session, session.begin():
                await spread_files.outbox.enqueue_async(session, welcome, account_no=f"of {name}")
        for name in NAMES:
            await asyncio.wait_for(succeeded(scheduler, name), LONG)
    assert all(are_users(spread_files, name, [f"of {name}"]) for name in NAMES)
    for engine in engines.values():
        await engine.dispose()


def test_blocking_engines_of_other_names_are_refused(spread_files: Several) -> None:
    engine = create_async_engine("sqlite+aiosqlite:///any.db")
    publishers = {"kafka": spread_files.publisher}
    with pytest.raises(OptionError, match="give a dict with the names db0"):
        AsyncScheduler(
            {"db0": engine}, spread_files.outbox, publishers, sync_engine={"db1": spread_files.engines["db1"]}
        )
    with pytest.raises(OptionError, match="give one Engine"):
        AsyncScheduler(engine, spread_files.outbox, publishers, sync_engine=spread_files.engines)
