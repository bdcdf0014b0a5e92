"""Whatever the scheduler has at work may stop it: the stop begins, waits for nobody, and spoils nothing in hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from asyncflow import AsyncScheduler, Scheduler
from asyncflow.errors import SchedulerStartedError
from asyncflow.events import Event, SchedulerStopped, TasksSettled
from asyncflow.outbox.status import Status
from asyncflow.scheduler import ShardingContext, SimpleJob
from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.writing import publish
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

LONG = 60.0
PATIENCE = 600.0  # a stop that waited for its caller would last as long


class Stopping:
    """Stop a scheduler as it is called, once; remember what that returned."""

    def __init__(self) -> None:
        self.scheduler: Scheduler | None = None
        self.returned: list[bool] = []

    def __call__(self, *_: object) -> None:
        if not self.returned and self.scheduler is not None:
            self.returned.append(self.scheduler.stop(timeout_seconds=PATIENCE))

    def ends_well(self, application: Application) -> None:
        assert self.scheduler is not None
        assert self.scheduler.wait(LONG)
        application.signals.wait_for(SchedulerStopped)
        assert application.signals.of(SchedulerStopped)[0].clean is True
        assert self.returned == [False]


@pytest.fixture
def stopping() -> Stopping:
    return Stopping()


def begin(stopping: Stopping, scheduler: Scheduler) -> None:
    stopping.scheduler = scheduler
    scheduler.start()


def enqueue(application: Application, name: str) -> None:
    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, name)


def test_a_handler_may(sqlite_application: Application, stopping: Stopping) -> None:
    sqlite_application.outbox.task("stops")(lambda: stopping())
    begin(stopping, sqlite_application.scheduler())
    enqueue(sqlite_application, "stops")
    stopping.ends_well(sqlite_application)
    assert sqlite_application.statuses() == [Status.SUCCESS]


@pytest.mark.parametrize("aside", [False, True], ids=["itself", "by a thread that it awaits"])
def test_a_coroutine_may(aside: bool, sqlite_application: Application, stopping: Stopping) -> None:
    @sqlite_application.outbox.task("stops")
    async def stops() -> None:
        if aside:
            await asyncio.to_thread(stopping)
        else:
            stopping()

    begin(stopping, sqlite_application.scheduler())
    enqueue(sqlite_application, "stops")
    stopping.ends_well(sqlite_application)
    assert sqlite_application.statuses() == [Status.SUCCESS]


def test_a_publisher_may_and_what_it_has_in_hand_is_sent_once(
    sqlite_application: Application, stopping: Stopping
) -> None:
    class Publisher(MemoryPublisher):
        def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
            stopping()
            return super().publish(batch)

    publisher = Publisher()
    begin(stopping, sqlite_application.scheduler(publisher))
    publish(sqlite_application)
    stopping.ends_well(sqlite_application)
    assert sqlite_application.statuses() == [Status.SUCCESS]
    assert len(publisher.records) == 1
    assert publisher.closed


def test_a_hook_may_which_a_handler_called(sqlite_application: Application, stopping: Stopping) -> None:
    sqlite_application.outbox.task("nothing")(lambda: None)

    def hook(event: Event) -> None:
        if isinstance(event, TasksSettled):
            stopping()

    begin(stopping, sqlite_application.scheduler(None, hook))
    enqueue(sqlite_application, "nothing")
    stopping.ends_well(sqlite_application)


def test_a_job_may(sqlite_application: Application, stopping: Stopping) -> None:
    class Stops(SimpleJob):
        def execute(self, context: ShardingContext) -> None:
            stopping()

    begin(stopping, sqlite_application.scheduler(jobs=[Stops(name="stops", cron="* * * * * *")]))
    stopping.ends_well(sqlite_application)


async def test_a_coroutine_on_the_applications_own_loop_may(sqlite_application: Application) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{sqlite_application.engine.url.database}")
    returned: list[Any] = []

    @sqlite_application.outbox.task("stops")
    async def stops() -> None:
        returned.append(await scheduler.stop(timeout_seconds=PATIENCE))

    scheduler = AsyncScheduler(engine, sqlite_application.outbox, {"kafka": MemoryPublisher()})
    await scheduler.start()
    enqueue(sqlite_application, "stops")
    try:
        assert await asyncio.to_thread(scheduler.scheduler.wait, LONG)
    finally:
        await engine.dispose()
    assert returned == [False]
    assert sqlite_application.statuses() == [Status.SUCCESS]
    pool: Any = scheduler.scheduler.engine.pool  # while it is disposed of, it counts wrongly
    await asyncio.to_thread(eventually, lambda: pool.checkedout() == 0)


def test_many_that_call_it_at_once_stop_it_once(sqlite_application: Application, stopping: Stopping) -> None:
    both, returned = threading.Barrier(2), list[bool]()

    @sqlite_application.outbox.task("stops", concurrency=2)
    def stops() -> None:
        both.wait(LONG)
        returned.append(scheduler.stop(timeout_seconds=PATIENCE))

    scheduler = sqlite_application.scheduler()
    scheduler.start()
    enqueue(sqlite_application, "stops")
    enqueue(sqlite_application, "stops")
    assert scheduler.wait(LONG)
    eventually(lambda: sqlite_application.statuses() == [Status.SUCCESS] * 2)
    assert returned == [False, False]
    assert len(sqlite_application.signals.of(SchedulerStopped)) == 1


def test_of_two_threads_one_drains_after_the_other(sqlite_application: Application) -> None:
    first, may_go = threading.Event(), threading.Event()

    class Publisher(MemoryPublisher):
        def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
            first.set()
            assert may_go.wait(LONG)
            return super().publish(batch)

    publisher = Publisher()
    scheduler = sqlite_application.scheduler(publisher)
    publish(sqlite_application)
    drained = [threading.Thread(target=scheduler.drain, daemon=True) for _ in range(2)]
    for thread in drained:
        thread.start()
    assert first.wait(LONG)
    may_go.set()
    for thread in drained:
        thread.join(LONG)
        assert not thread.is_alive()
    assert len(publisher.records) == 1
    assert sqlite_application.statuses() == [Status.SUCCESS]


def test_what_a_drain_has_at_work_may_stop_and_is_refused_a_drain(
    sqlite_application: Application, stopping: Stopping
) -> None:
    raised: list[str] = []

    class Publisher(MemoryPublisher):
        def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
            stopping()
            try:
                scheduler.drain()
            except SchedulerStartedError as error:
                raised.append(str(error))
            return super().publish(batch)

    publisher = Publisher()
    scheduler = stopping.scheduler = sqlite_application.scheduler(publisher)
    publish(sqlite_application)
    assert scheduler.drain().sent == 1
    assert scheduler.wait(LONG)
    assert (stopping.returned, len(raised), publisher.closed) == ([False], 1, True)
    assert sqlite_application.statuses() == [Status.SUCCESS]


def test_a_stop_beside_a_drain_that_hangs_ends_in_time_and_closes_what_it_uses_behind_it(
    sqlite_application: Application,
) -> None:
    at_work, may_go = threading.Event(), threading.Event()

    class Publisher(MemoryPublisher):
        def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
            at_work.set()
            assert may_go.wait(LONG)
            return super().publish(batch)

    publisher = Publisher()
    scheduler = sqlite_application.scheduler(publisher)
    publish(sqlite_application)
    drain = threading.Thread(target=scheduler.drain, daemon=True)
    drain.start()
    assert at_work.wait(LONG)
    assert scheduler.stop(timeout_seconds=0.05) is False
    assert not publisher.closed
    may_go.set()
    assert scheduler.wait(LONG)
    drain.join(LONG)
    assert publisher.closed
    assert sqlite_application.statuses() == [Status.SUCCESS]
