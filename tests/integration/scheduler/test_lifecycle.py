from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from apscheduler.triggers.base import BaseTrigger
from sqlalchemy import Engine, MetaData, NullPool, create_engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from asyncflow import Call, Outbox, Scheduler, Status
from asyncflow.errors import (
    ConnectionSilentError,
    OptionError,
    SchedulerStartedError,
    SchedulerStoppedError,
    TablesMissingError,
)
from asyncflow.events import (
    Event,
    LoopRestarted,
    OwnershipChanged,
    PageFetched,
    SchedulerStarted,
    SchedulerStopped,
    StepFailed,
    TasksSettled,
)
from asyncflow.scheduler.loops import pulse
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.publishers import LONG, Gate, Switch, ids_of
from tests.integration.scheduler.settled import wait_for_settled
from tests.integration.scheduler.writing import publish, publish_many, texts
from tests.support.application import Application
from tests.support.databases import open_engine
from tests.support.ended_threads import end_the_thread_that_publishes
from tests.unit.scheduler.waiting import eventually

# What a pool that is too small makes of a step.
NO_CONNECTION = (PoolTimeoutError, ConnectionSilentError)


def checked_out(engine: Engine) -> int:
    return engine.pool.checkedout()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Assert that every thread that was started in the test has ended."""
    before = set(threading.enumerate())
    yield
    eventually(lambda: not (set(threading.enumerate()) - before))


def test_a_scheduler_delivers_what_is_committed_while_it_runs(application: Application, schedule: Schedule) -> None:
    publisher = MemoryPublisher()
    with schedule(publisher):
        ids = [publish(application) for _ in range(5)]
        wait_for_settled(application.signals, "kafka", 5)
    assert sorted(ids_of(publisher)) == sorted(texts(ids))


def test_an_idle_scheduler_keeps_four_connections(application: Application) -> None:
    @application.outbox.task
    def nothing() -> None:
        """Be done."""

    with application.scheduler(MemoryPublisher()):
        publish_many(application, 2000)
        with application.engine.begin() as connection:
            application.outbox.enqueue_many(connection, nothing, [Call({})] * 200)
        wait_for_settled(application.signals, "kafka", 2000)
        wait_for_settled(application.signals, "handlers", 200)
        # The relay, the handlers, the heartbeat and the configuration.
        eventually(lambda: checked_out(application.engine) == 4)


def test_a_pool_that_is_too_small_is_refused_before_anything_is_written(application: Application) -> None:
    least = 4 if application.engine.dialect.name == "sqlite" else 5  # SQLite has one writer: none settles beside
    one_too_small = create_engine(application.engine.url, pool_size=2, max_overflow=least - 3)
    scheduler = Scheduler(one_too_small, application.outbox, {"kafka": MemoryPublisher()})
    with pytest.raises(
        OptionError, match=rf"at most {least - 1} connections, .* at least {least}; .*pool_size={2 * least}"
    ):
        scheduler.start()
    scheduler.stop()
    one_too_small.dispose()
    with application.engine.connect() as connection:
        assert connection.execute(application.outbox.instances.select()).all() == []


@pytest.mark.parametrize("pool", [{"pool_size": 1, "max_overflow": 6}, {"max_overflow": -1}, {"poolclass": NullPool}])
def test_a_backlog_is_done_and_cleaned_with_the_smallest_pool_that_is_taken(
    application: Application, pool: dict[str, Any]
) -> None:
    application.outbox.task("nothing", concurrency=2, limit=40)(lambda: None)
    engine = open_engine(application.engine.url, **pool)
    publisher, signals = MemoryPublisher(), application.signals
    options: dict[str, Any] = {"success_retention_seconds": 0.1, "cleaning_interval_seconds": 0.2}
    with Scheduler(engine, application.outbox, {"kafka": publisher}, hooks=[signals], **options):
        ids = publish_many(application, 2000)
        with application.engine.begin() as connection:
            application.outbox.enqueue_many(connection, "nothing", [Call({})] * 400)
        wait_for_settled(signals, "kafka", 2000)
        wait_for_settled(signals, "handlers", 400)
        eventually(lambda: application.rows() == [])
    assert sorted(ids_of(publisher)) == sorted(texts(ids))
    assert [failed for failed in signals.of(StepFailed) if isinstance(failed.error, NO_CONNECTION)] == []
    engine.dispose()


@pytest.mark.usefixtures("no_threads_left")
def test_after_stop_no_thread_and_no_connection_is_left(application: Application) -> None:
    publisher = MemoryPublisher()
    scheduler = application.scheduler(publisher)
    with scheduler:
        publish_many(application, 10)
        wait_for_settled(application.signals, "kafka", 10)
    assert checked_out(application.engine) == 0
    assert publisher.closed
    assert application.signals.events[-1] == SchedulerStopped(scheduler.ownership.owner, True)


@pytest.mark.usefixtures("no_threads_left")
def test_after_drain_and_stop_no_connection_is_left(application: Application) -> None:
    publish_many(application, 10)
    scheduler = application.scheduler()
    scheduler.drain()
    assert scheduler.stop()
    assert checked_out(application.engine) == 0


def test_stop_twice_is_stop_and_told_once(sqlite_application: Application) -> None:
    scheduler = sqlite_application.scheduler()
    scheduler.start()
    assert scheduler.stop()
    assert scheduler.stop()
    assert len(sqlite_application.signals.of(SchedulerStopped)) == 1


def test_start_twice_is_start_and_told_once(sqlite_application: Application, sqlite_schedule: Schedule) -> None:
    scheduler = sqlite_schedule()
    scheduler.start()
    epochs = dict(scheduler.ownership.epochs())
    scheduler.start()
    assert scheduler.ownership.epochs() == epochs
    assert len(sqlite_application.signals.of(SchedulerStarted)) == 1


def test_stop_before_start_closes_the_publishers(sqlite_application: Application) -> None:
    publisher = MemoryPublisher()
    assert sqlite_application.scheduler(publisher).stop()
    assert publisher.closed


@pytest.mark.parametrize("work", ["start", "drain", "__enter__"])
def test_a_stopped_scheduler_does_not_work_again(work: str, sqlite_application: Application) -> None:
    scheduler = sqlite_application.scheduler()
    scheduler.start()
    scheduler.stop()
    with pytest.raises(SchedulerStoppedError, match="make a new one"):
        getattr(scheduler, work)()


def test_stop_settles_the_work_in_hand(application: Application, schedule: Schedule) -> None:
    publish_many(application, 5)
    publisher = Gate()
    scheduler = schedule(publisher)
    scheduler.start()
    publisher.wait()
    stopping = threading.Thread(target=scheduler.stop)
    stopping.start()
    eventually(scheduler.relay_runners[0].loop._stopping.is_set)
    publisher.opened.set()
    stopping.join(LONG)
    assert not stopping.is_alive()
    assert application.statuses() == [Status.SUCCESS] * 5


def test_stop_does_not_wait_longer_than_told(sqlite_application: Application, sqlite_schedule: Schedule) -> None:
    publish(sqlite_application)
    publisher = Gate()
    scheduler = sqlite_schedule(publisher)
    scheduler.start()
    publisher.wait()
    assert scheduler.stop(timeout_seconds=0) is False
    assert sqlite_application.signals.of(SchedulerStopped)[0].clean is False
    publisher.opened.set()
    wait_for_settled(sqlite_application.signals, "kafka", 1)


def test_wait_returns_when_the_scheduler_was_stopped(sqlite_schedule: Schedule) -> None:
    scheduler = sqlite_schedule()
    scheduler.start()
    assert scheduler.wait(0.001) is False
    threading.Timer(0.01, scheduler.stop).start()
    assert scheduler.wait(LONG) is True


def test_a_publisher_that_cannot_be_closed_does_not_hold_up_the_stop(sqlite_application: Application) -> None:
    class Stuck(MemoryPublisher):
        def close(self) -> None:
            raise RuntimeError("the client is stuck")

    sqlite_application.outbox.message("coupon", destination="cluster_b")
    other = MemoryPublisher()
    scheduler = sqlite_application.scheduler({"kafka": Stuck(), "cluster_b": other})
    scheduler.start()
    assert scheduler.stop()
    assert other.closed
    assert [str(event.error) for event in sqlite_application.signals.of(StepFailed)] == ["the client is stuck"]


def test_a_with_block_that_cannot_start_closes_the_publishers(sqlite_engine: Engine) -> None:
    publisher = MemoryPublisher()
    outbox = Outbox(MetaData())
    with pytest.raises(TablesMissingError), Scheduler(sqlite_engine, outbox, {"kafka": publisher}):
        raise AssertionError("it must not start")
    assert publisher.closed


def test_a_start_that_failed_can_be_tried_again(sqlite_engine: Engine, made: list[Scheduler]) -> None:
    outbox = Outbox(MetaData())
    scheduler = Scheduler(sqlite_engine, outbox, {"kafka": MemoryPublisher()})
    made.append(scheduler)
    with pytest.raises(TablesMissingError, match="asyncflow init-db"):
        scheduler.start()
    outbox.tasks.metadata.create_all(sqlite_engine)
    scheduler.start()


def test_an_error_in_a_with_block_stops_the_scheduler(sqlite_application: Application) -> None:
    publisher = MemoryPublisher()
    with pytest.raises(KeyError), sqlite_application.scheduler(publisher):
        raise KeyError("the application's own")
    assert publisher.closed


@pytest.mark.parametrize("kind", [PageFetched, TasksSettled])
def test_a_hook_may_stop_the_scheduler_from_within(kind: type[Event], sqlite_application: Application) -> None:
    application = sqlite_application

    def hook(event: Event) -> None:
        if isinstance(event, kind):
            scheduler.stop()

    scheduler = application.scheduler(None, hook)
    scheduler.start()
    publish(application)
    assert scheduler.wait(LONG)
    application.signals.wait_for(SchedulerStopped)
    eventually(lambda: application.statuses() == [Status.SUCCESS])
    eventually(lambda: checked_out(application.engine) == 0)


def test_hooks_on_two_threads_may_both_stop_the_scheduler(sqlite_application: Application) -> None:
    application, callers = sqlite_application, set[str]()
    application.outbox.task("nothing")(lambda: None)

    def hook(event: Event) -> None:
        if isinstance(event, TasksSettled):
            callers.add(threading.current_thread().name)
            scheduler.stop(timeout_seconds=600)

    scheduler = application.scheduler(None, hook)
    scheduler.start()
    with scheduler._lifecycle:  # neither is the first before both have called
        publish(application)
        with application.engine.begin() as connection:
            application.outbox.enqueue(connection, "nothing")
        eventually(lambda: len(callers) == 2)
    assert scheduler.wait(LONG)


def test_drain_returns_early_for_a_destination_that_is_away(application: Application, schedule: Schedule) -> None:
    application.outbox.message("coupon", destination="cluster_b")
    publish(application)
    publish(application, task_type="coupon")
    other = MemoryPublisher()
    schedule({"kafka": Switch(away=True), "cluster_b": other}).drain()
    assert len(other.records) == 1


def test_settings_and_options_together_are_refused(sqlite_application: Application) -> None:
    settings = sqlite_application.scheduler().settings
    with pytest.raises(OptionError, match="settings and tick are both given"):
        sqlite_application.scheduler(settings=settings, tick=2)


class WithoutClose:
    def publish(self, batch: Any) -> Any: ...


class InCoroutines(MemoryPublisher):
    async def publish(self, batch: Any) -> Any: ...  # type: ignore[override]


@pytest.mark.parametrize(
    ("publishers", "told"),
    [
        (MemoryPublisher(), "publishers is a MemoryPublisher; give them by their destinations"),
        ({"kafka": MemoryPublisher}, "the publisher of 'kafka' is <class"),
        ({"kafka": "localhost:9092"}, "the publisher of 'kafka' is 'localhost:9092'; give an object"),
        ({"kafka": WithoutClose()}, "give an object with publish and close"),
        ({"kafka": InCoroutines()}, "publish of the publisher of 'kafka' is a coroutine function; give a function"),
    ],
)
def test_what_is_no_publisher_is_refused_where_the_scheduler_is_made(
    sqlite_application: Application, publishers: Any, told: str
) -> None:
    with pytest.raises(OptionError, match=told):
        Scheduler(sqlite_application.engine, sqlite_application.outbox, publishers)


def test_what_is_no_outbox_is_refused_where_the_scheduler_is_made(sqlite_engine: Engine) -> None:
    with pytest.raises(OptionError, match=r"outbox is MetaData\(\); give the Outbox"):
        Scheduler(sqlite_engine, MetaData(), {})  # type: ignore[arg-type]


def test_more_instances_than_shards_are_refused(sqlite_application: Application) -> None:
    with pytest.raises(OptionError, match=r"instance_count is 65.*64 shards"):
        sqlite_application.scheduler(instance_count=65)


class Fatal(BaseTrigger):  # type: ignore[misc] # APScheduler tells no types
    """Fire once, then raise: that ends APScheduler's thread without a word."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        if previous_fire_time is not None:
            raise RuntimeError("the trigger is at fault")
        return now


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_watchdog_restarts_a_metronome_whose_thread_died(
    sqlite_application: Application, sqlite_schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = sqlite_application
    monkeypatch.setattr(pulse, "_WATCH_SECONDS", 0.01)
    scheduler = sqlite_schedule(tick=0.02, max_pause_seconds=3600, min_pause_seconds=3600, wake_on_commit=False)
    scheduler.metronome.add(Fatal(), lambda: None)
    scheduler.start()
    assert application.signals.wait_for(LoopRestarted).loop == "metronome"
    cadences = scheduler.metronome._cadences
    cadences[:] = [cadence for cadence in cadences if not isinstance(cadence.trigger, Fatal)]
    eventually(scheduler.metronome.is_alive)
    publish(application)
    wait_for_settled(application.signals, "kafka", 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_watchdog_revives_a_relay_whose_thread_died(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "_WATCH_SECONDS", 0.01)
    end_the_thread_that_publishes(monkeypatch)
    publish_many(application, 5)
    publisher = MemoryPublisher()
    schedule(publisher).start()
    assert application.signals.wait_for(LoopRestarted).loop == "relay-kafka"
    wait_for_settled(application.signals, "kafka", 5)
    assert len(publisher.records) == 5


def test_ticks_while_a_round_is_in_hand_give_one_further_run(
    sqlite_application: Application, sqlite_schedule: Schedule
) -> None:
    publish(sqlite_application)
    publisher = Gate()
    scheduler = sqlite_schedule(publisher, tick=0.005)
    board = scheduler.relay_runners[0].board
    scheduler.start()
    publisher.wait()
    eventually(lambda: board.coalesced >= 3)
    assert board.misfired - latch_misfires_before(sqlite_application) <= 1
    publisher.opened.set()
    wait_for_settled(sqlite_application.signals, "kafka", 1)


def latch_misfires_before(application: Application) -> int:
    """Return the misfires that were told before the page was fetched."""
    names = [type(event).__name__ for event in application.signals.events]
    return names[: names.index("PageFetched")].count("TickMisfired")


def test_a_scheduler_starts_while_another_of_its_process_runs(application: Application, schedule: Schedule) -> None:
    publishers = [MemoryPublisher(), MemoryPublisher()]
    for index, publisher in enumerate(publishers):
        schedule(publisher, instance_index=index, instance_count=2).start()
    publish_many(application, 40)
    wait_for_settled(application.signals, "kafka", 40)
    assert len(publishers[0].records) + len(publishers[1].records) == 40


@pytest.mark.parametrize("kind", [OwnershipChanged, SchedulerStopped, SchedulerStarted])
def test_a_hook_on_the_thread_that_starts_or_stops_may_call_stop(
    kind: type[Event], sqlite_application: Application
) -> None:
    def hook(event: Event) -> None:
        if isinstance(event, kind) and not getattr(event, "shards", ()):
            scheduler.stop()

    scheduler = sqlite_application.scheduler(None, hook)

    def start_and_stop() -> None:
        scheduler.start()
        scheduler.stop()

    stopping = threading.Thread(target=start_and_stop, daemon=True)
    stopping.start()
    stopping.join(LONG)
    assert not stopping.is_alive()
    assert len(sqlite_application.signals.of(SchedulerStopped)) == 1
    assert checked_out(sqlite_application.engine) == 0


def test_a_hook_that_stops_while_another_thread_stops_holds_nobody_up(sqlite_application: Application) -> None:
    publish(sqlite_application)
    publisher = Gate()

    def hook(event: Event) -> None:
        if isinstance(event, TasksSettled):
            scheduler.stop()

    scheduler = sqlite_application.scheduler(publisher, hook)
    scheduler.start()
    publisher.wait()
    stopping = threading.Thread(target=scheduler.stop, daemon=True)
    stopping.start()
    eventually(scheduler.relay_runners[0].loop._stopping.is_set)
    publisher.opened.set()
    stopping.join(LONG)
    assert not stopping.is_alive()
    assert sqlite_application.signals.of(SchedulerStopped)[0].clean is True


@pytest.mark.usefixtures("no_threads_left")
def test_what_was_left_behind_gives_its_connection_and_publisher_back_when_it_ends(
    application: Application,
) -> None:
    publish_many(application, 5)
    publisher = Gate()
    scheduler = application.scheduler(publisher)
    scheduler.start()
    publisher.wait()
    assert scheduler.stop(timeout_seconds=0) is False
    assert not publisher.closed
    publisher.opened.set()
    eventually(lambda: publisher.closed)
    assert application.statuses() == [Status.SUCCESS] * 5
    eventually(lambda: checked_out(application.engine) == 0)


def test_drain_is_refused_while_the_loops_run(application: Application, schedule: Schedule) -> None:
    scheduler = schedule()
    scheduler.start()
    with pytest.raises(SchedulerStartedError, match="instead of start"):
        scheduler.drain()
