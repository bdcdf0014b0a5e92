"""More tasks claimed than are at work: the type's ``limit``."""

from __future__ import annotations

import threading
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from asyncflow import Call, Status, TaskContext
from asyncflow.errors import OptionError
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

COUNT = 7


def enqueue(application: Application, task: Any, count: int = COUNT) -> None:
    with application.engine.begin() as connection:
        application.outbox.enqueue_many(connection, task, [Call({"number": number}) for number in range(count)])


class Gate:
    """Hold handlers until opened; count those that began, and the most at once."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun: list[int] = []
        self.at_work = self.most = 0
        self.changed = threading.Condition()

    def pass_through(self, number: int) -> None:
        with self.changed:
            self.begun.append(number)
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            self.changed.notify_all()
        assert self.opened.wait(60)
        with self.changed:
            self.at_work -= 1

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.begun) >= count, 120)


@pytest.mark.parametrize("is_coroutine", [False, True])
def test_as_many_as_the_limit_are_claimed_and_as_many_as_concurrency_work(
    application: Application, is_coroutine: bool
) -> None:
    gate, seen = Gate(), list[list[int]]()

    def working(number: int) -> None:
        if not seen:
            seen.append(sorted(application.statuses()))
        gate.opened.set()
        gate.pass_through(number)

    async def coroutine(number: int) -> None:
        working(number)

    handler: Any = application.outbox.task("working", concurrency=1, limit=5)(coroutine if is_coroutine else working)
    enqueue(application, handler)
    application.scheduler().drain()

    assert seen == [[Status.PENDING] * 2 + [Status.PROCESSING] * 5]
    assert application.statuses() == [Status.SUCCESS] * COUNT
    assert gate.most == 1
    assert [row.retry_count for row in application.rows()] == [1] * COUNT


def test_the_time_of_a_task_counts_from_when_its_handler_starts(sqlite_application: Application) -> None:
    application, overdue_at = sqlite_application, list[float]()

    @application.outbox.task(concurrency=1, limit=COUNT)
    def working(number: int) -> None:
        (attempt,) = worker.crews.by_type["working"].at_work()
        overdue_at.append(attempt.overdue_at)
        threading.Event().wait(0.05)  # is its work

    enqueue(application, working)
    scheduler = application.scheduler()
    worker = scheduler.machinery.staff.worker
    scheduler.drain()

    assert application.statuses() == [Status.SUCCESS] * COUNT
    assert all(later - earlier > 0.04 for earlier, later in pairwise(overdue_at))


def test_a_task_behind_one_that_hangs_begins_when_that_is_given_up(sqlite_application: Application) -> None:
    application, hanging = sqlite_application, threading.Event()

    @application.outbox.task(concurrency=1, limit=COUNT, max_retries=0, max_processing_time_seconds=2.0)
    def working(number: int) -> None:
        if number == 0:
            hanging.wait(60)

    enqueue(application, working)
    application.scheduler().drain()
    hanging.set()

    assert sorted(application.statuses()) == [Status.SUCCESS] * (COUNT - 1) + [Status.FAILED]


def test_a_stop_gives_back_what_has_not_begun_and_spends_no_attempt(application: Application) -> None:
    gate = Gate()

    @application.outbox.task(concurrency=2, limit=5)
    def working(number: int) -> None:
        gate.pass_through(number)

    enqueue(application, working)
    scheduler = application.scheduler()
    scheduler.start()
    gate.wait_for(2)
    stopping = threading.Thread(target=scheduler.stop)
    stopping.start()
    try:
        # While two are still at work: a stop gives the others back first.
        bound = threading.Event()
        while application.statuses().count(Status.PROCESSING) > 2 and not bound.wait(0.02):
            pass
        rows = [(row.status, row.retry_count) for row in application.rows()]
    finally:
        gate.opened.set()
        stopping.join(60)

    assert sorted(rows) == [(Status.PENDING, 0)] * (COUNT - 2) + [(Status.PROCESSING, 1)] * 2
    assert sorted(application.statuses()) == [Status.PENDING] * (COUNT - 2) + [Status.SUCCESS] * 2
    assert len(gate.begun) == 2


def test_the_claims_of_waiting_tasks_are_renewed(sqlite_application: Application) -> None:
    application, ends = sqlite_application, list[set[Any]]()

    @application.outbox.task(concurrency=1, limit=3)
    def working(number: int) -> None:
        first = {row.order_time for row in application.rows()}

        def are_renewed() -> bool:
            worker._renewal.due_at = 0.0  # as after a third of the lease
            now = {row.order_time for row in application.rows() if row.status == Status.PROCESSING}
            ends.append(first & now)
            return ends[-1] == set()

        if not ends:
            eventually(are_renewed, 60)

    enqueue(application, working, count=3)
    scheduler = application.scheduler()
    worker = scheduler.machinery.staff.worker
    scheduler.drain()

    assert ends[-1] == set()
    assert application.statuses() == [Status.SUCCESS] * 3


def test_a_waiting_task_whose_claim_is_lost_does_not_begin(application: Application) -> None:
    gate = Gate()

    @application.outbox.task(concurrency=1, limit=3)
    def working(number: int, ctx: TaskContext) -> None:
        gate.begun.append(number)
        if len(gate.begun) == 1:
            tasks = application.outbox.tasks
            with application.engine.begin() as connection:
                taken = {"claim_token": UUID(int=1), "order_time": timedelta(seconds=600)}
                connection.execute(update(tasks).values(**taken))

            def has_renewed() -> bool:
                worker._renewal.due_at = 0.0  # as after a third of the lease
                return ctx.cancelled

            eventually(has_renewed, 60)

    enqueue(application, working, count=3)
    scheduler = application.scheduler()
    worker = scheduler.machinery.staff.worker
    scheduler.drain()

    assert len(gate.begun) == 1
    assert application.statuses() == [Status.PROCESSING] * 3


def test_a_waiting_task_does_not_begin_when_its_claim_may_have_run_out(sqlite_application: Application) -> None:
    application, attempts, lease = sqlite_application, list[tuple[int, int]](), 2.0

    @application.outbox.task(concurrency=1, limit=2, retry_interval_seconds=0, max_retry_interval_seconds=0)
    def working(number: int, ctx: TaskContext) -> None:
        attempts.append((number, ctx.attempt))
        if len(attempts) == 1:
            threading.Event().wait(1.2 * lease)  # and nobody renews: the scheduler steps no more

    enqueue(application, working, count=2)
    scheduler = application.scheduler(claim_lease_seconds=lease, monitor_interval_seconds=0.05)
    scheduler.ownership.acquire()
    scheduler.ownership.await_share()
    scheduler.worker.step()
    eventually(lambda: attempts and not scheduler.machinery.staff.worker.crews.by_type["working"].at_work())
    begun = len(attempts)
    scheduler.worker.close()
    scheduler.stop()

    assert begun == 1


@pytest.mark.parametrize("limit", [0, 10_001, "many", True])
def test_a_limit_out_of_bounds_is_refused(sqlite_application: Application, limit: Any) -> None:
    with pytest.raises(OptionError, match="limit"):
        sqlite_application.outbox.task("working", limit=limit)


def test_a_row_that_moved_on_since_its_page_was_read_keeps_its_stage_and_attempts(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let another worker claim, checkpoint and give back a row between our page and our claim."""
    from asyncflow.scheduler.heads import queries

    seen: list[Any] = []
    read_pages = queries.read_pages

    @application.outbox.task()
    def working(number: int, ctx: TaskContext) -> None:
        seen.append((ctx.stage, ctx.context, ctx.attempt))

    def read_and_wait(connection: Any, *given: Any, **options: Any) -> Any:
        rows = read_pages(connection, *given, **options)
        changed = {"stage": "uploaded", "context": "[1]", "retry_count": 2}
        connection.execute(update(application.outbox.tasks).values(**changed))
        return rows

    monkeypatch.setattr(queries, "read_pages", read_and_wait)
    enqueue(application, working, count=1)
    application.scheduler().drain()

    assert seen == [("uploaded", [1], 3)]
