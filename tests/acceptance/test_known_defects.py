"""The eleven defects of the published implementations of asyncflow, each on real databases: none is here.

They had one table after another for a task type, a pull (hold), a write of the outcome (set), and a monitor. Here rows
stay in one table and pages are found by status, so what rested on the order of tables must hold for old and new rows.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from asyncflow import Call, RetryTask, Scheduler, Status, TaskContext
from asyncflow.errors import ClaimLostError
from asyncflow.events import ClaimsRanOut, SettledRowsDeleted, TaskFailed
from asyncflow.scheduler.table.claim_owner import ClaimOwner
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claims import Claims
from asyncflow.scheduler.worker.verdict import SUCCEEDED
from tests.integration.outbox.watch import statements_of
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

MINUTE = timedelta(minutes=1)
Work = Callable[..., Any]


def enqueue(application: Application, task: Any, **options: Any) -> UUID:
    with application.session() as session, session.begin():
        return application.outbox.enqueue(session, task, **options)


def enqueue_numbers(application: Application, task: Any, count: int) -> list[UUID]:
    with application.session() as session, session.begin():
        return application.outbox.enqueue_many(session, task, [Call({"number": n}) for n in range(count)])


def hold(application: Application, most: int, owner: str = "worker", lease_seconds: float = 60) -> list[Claim]:
    """Claim due tasks, as a worker does that asks for some of them."""
    claims = Claims(application.outbox, application.engine, ClaimOwner.in_process(owner), lease_seconds, deletes=False)
    heads = [head for head in claims.heads() if head.due_in_seconds <= 0]
    held = claims.claim([(heads, most)]) if heads else []
    claims.close()
    return held


def settle(application: Application, claim: Claim) -> int:
    """Write that a claimed task is done; return how many rows that changed."""
    claims = Claims(application.outbox, application.engine, ClaimOwner.in_process("worker"), 60, deletes=False)
    (written,) = claims.settle([(claim, SUCCEEDED)])
    claims.close()
    return written.changed


def let_claims_run_out(application: Application) -> None:
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.status == Status.PROCESSING).values(order_time=-MINUTE))


def monitored(application: Application, count: int = 1) -> None:
    """Let that many monitors look at once, each of an instance that owns everything."""
    schedulers = [application.scheduler(instance_count=1) for _ in range(count)]
    for scheduler in schedulers:
        scheduler.ownership.acquire()
    # The last one to take the shards owns them; to all of them they must be theirs, as while a lease is disputed.
    owned = schedulers[-1].ownership.epochs()
    start = threading.Barrier(count, timeout=60)

    def look(scheduler: Scheduler) -> None:
        monitor = scheduler.machinery.staff.monitor
        monitor._wards = replace(monitor._wards, shards=lambda: owned)
        start.wait()
        while scheduler.machinery.staff.monitor.step() == 0:
            pass

    with ThreadPoolExecutor(count) as threads:
        list(threads.map(look, schedulers))
    for scheduler in schedulers:
        scheduler.stop()


def statuses(application: Application) -> Counter[int]:
    return Counter(application.statuses())


def handled(application: Application, done: Callable[[], bool], **options: Any) -> None:
    """Run a scheduler until that is so."""
    scheduler = application.scheduler(**options)
    scheduler.start()
    try:
        eventually(done)
    finally:
        scheduler.stop()


def test_1_priority_and_order_time_are_kept_at_create_and_at_set(application: Application) -> None:
    @application.outbox.task(retry_interval_seconds=60, max_retry_interval_seconds=60)
    def issue() -> None:
        raise RetryTask

    enqueue(application, issue, priority=600)
    (created,) = application.rows()
    assert created.priority == 600
    assert created.created_at - created.order_time == timedelta(seconds=600)

    application.scheduler().drain()
    (row,) = application.rows()
    assert (row.priority, row.status, row.retry_count) == (600, Status.PENDING, 1)
    assert abs(row.order_time - row.modified_at - MINUTE) < timedelta(seconds=5)
    assert row.next_select_time == row.order_time


def test_1_what_has_priority_is_held_first(application: Application) -> None:
    application.outbox.task("issue")
    with application.engine.begin() as connection:
        for priority in (0, 600, 60):
            application.outbox.enqueue(connection, "issue", priority=priority)
        connection.execute(application.outbox.tasks.update().values(shard=0))
    order = [hold(application, 1)[0].task.id for _ in range(3)]
    priorities = {row.id: row.priority for row in application.rows()}
    assert [priorities[task_id] for task_id in order] == [600, 60, 0]


def test_2_a_delayed_retry_and_a_lost_claim_among_the_oldest_starve_nothing_newer(application: Application) -> None:
    seen: list[int] = []

    @application.outbox.task(retry_interval_seconds=3600, max_retry_interval_seconds=3600)
    def issue(number: int) -> None:
        if number < 0:
            raise RetryTask
        seen.append(number)

    oldest = enqueue(application, issue, number=-1)
    application.scheduler().drain()
    stuck = enqueue(application, issue, number=-2)
    assert [claim.task.id for claim in hold(application, 1, lease_seconds=3600)] == [stuck]
    enqueue_numbers(application, issue, 300)
    handled(application, lambda: len(seen) == 300)
    assert sorted(seen) == list(range(300))
    by_id = {row.id: row.status for row in application.rows()}
    assert (by_id[oldest], by_id[stuck]) == (Status.PENDING, Status.PROCESSING)


def test_2_the_monitor_rescues_newer_rows_while_older_ones_are_at_work(application: Application) -> None:
    application.outbox.task("issue")
    enqueue(application, "issue")
    (long_work,) = hold(application, 1, lease_seconds=3600)
    enqueue(application, "issue")
    (lost,) = hold(application, 1)
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id == lost.task.id).values(order_time=-MINUTE))
    monitored(application)
    assert {row.id: row.status for row in application.rows()} == {
        long_work.task.id: Status.PROCESSING,
        lost.task.id: Status.PENDING,
    }


def test_3_each_time_out_counts_and_a_poison_task_ends_failed(application: Application) -> None:
    attempts: list[int] = []

    @application.outbox.task(
        max_retries=2,
        retry_interval_seconds=0.01,
        max_retry_interval_seconds=0.01,
        max_processing_time_seconds=0.1,
    )
    def hang(ctx: TaskContext) -> None:
        attempts.append(ctx.attempt)
        while not ctx.cancelled:
            time.sleep(0.005)  # it heeds nothing but the end of its time

    enqueue(application, hang)
    handled(application, lambda: application.statuses() == [Status.FAILED])
    (row,) = application.rows()
    eventually(lambda: len(attempts) == 3)  # a thread may come to its first line when its time is over already
    assert sorted(attempts) == [1, 2, 3]
    assert row.retry_count == 3
    assert "max_processing_time_seconds" in row.schedule_log


def test_3_each_claim_that_runs_out_counts_and_a_deadly_task_ends_failed(application: Application) -> None:
    application.outbox.task("deadly", max_retries=2, retry_interval_seconds=0, max_retry_interval_seconds=0)
    enqueue(application, "deadly")
    for attempt in (1, 2, 3):
        (claim,) = hold(application, 1)
        assert claim.attempt == attempt
        let_claims_run_out(application)
        monitored(application)
    (row,) = application.rows()
    assert (row.status, row.retry_count) == (Status.FAILED, 3)
    assert [event.retry_count for event in application.signals.of(TaskFailed)] == [3]


def test_4_the_types_own_max_processing_time_holds_and_is_neither_ignored_nor_nothing(application: Application) -> None:
    deadlines: dict[str, float] = {}
    is_cancelled = threading.Event()

    def note(ctx: TaskContext) -> None:
        deadlines[ctx.task_type] = (ctx.deadline - datetime.now(timezone.utc)).total_seconds()

    def short(ctx: TaskContext) -> None:
        note(ctx)
        while not ctx.cancelled:
            time.sleep(0.005)  # work that would never end
        is_cancelled.set()

    def long(ctx: TaskContext) -> None:
        note(ctx)
        assert is_cancelled.wait(120)  # work that takes longer than the other may

    application.outbox.task("short", max_processing_time_seconds=0.1, max_retries=0)(short)
    application.outbox.task("long", max_processing_time_seconds=3600, max_retries=0)(long)
    ids = [enqueue(application, name) for name in ("short", "long")]
    handled(application, lambda: not {0, 1} & set(application.statuses()), monitor_interval_seconds=0.05)
    by_id = {row.id: row.status for row in application.rows()}
    assert [by_id[task_id] for task_id in ids] == [Status.FAILED, Status.SUCCESS]
    assert deadlines["short"] <= 1
    assert 3000 < deadlines["long"] <= 3601


def test_5_many_monitors_at_once_count_each_lost_claim_once(application: Application) -> None:
    application.outbox.task("issue", retry_interval_seconds=60, max_retry_interval_seconds=60)
    application.outbox.task("last", max_retries=0)
    enqueue_numbers(application, "issue", 150)
    enqueue_numbers(application, "last", 30)
    held: list[Claim] = []
    while page := hold(application, 64):
        held += page
    assert len(held) == 180
    let_claims_run_out(application)
    monitored(application, 6)
    ran_out = application.signals.of(ClaimsRanOut)
    assert sum(event.given_back for event in ran_out) == 150
    assert sum(event.failed for event in ran_out) == 30
    assert len({event.task_id for event in application.signals.of(TaskFailed)}) == 30
    assert {(row.task_type, row.status, row.retry_count) for row in application.rows()} == {
        ("issue", Status.PENDING, 1),
        ("last", Status.FAILED, 1),
    }


def test_6_a_late_set_of_a_lost_claim_changes_nothing(application: Application) -> None:
    application.outbox.task("issue", retry_interval_seconds=0, max_retry_interval_seconds=0)
    enqueue(application, "issue")
    (late,) = hold(application, 1, "paused")
    let_claims_run_out(application)
    monitored(application)
    assert settle(application, late) == 0  # it was given back
    (current,) = hold(application, 1, "current")
    before = application.rows()
    assert settle(application, late) == 0  # another one has it
    claims = Claims(application.outbox, application.engine, ClaimOwner.in_process("paused"), 60, deletes=False)
    with pytest.raises(ClaimLostError, match="nothing was written"):
        claims.checkpoint(late, "uploaded", None)
    assert claims.renew([late]) == {late.task.id}
    claims.close()
    assert application.rows() == before
    assert settle(application, current) == 1
    assert settle(application, late) == 0  # it is done
    assert application.statuses() == [Status.SUCCESS]


def test_7_many_that_hold_at_once_never_get_the_same_task(application: Application) -> None:
    application.outbox.task("issue")
    ids = enqueue_numbers(application, "issue", 240)
    start = threading.Barrier(6, timeout=60)

    def take(number: int) -> list[UUID]:
        start.wait()
        taken: list[UUID] = []
        while statuses(application)[Status.PENDING]:
            taken += [claim.task.id for claim in hold(application, 20, f"worker-{number}")]
        return taken

    with ThreadPoolExecutor(6) as threads:
        taken = [task_id for own in threads.map(take, range(6)) for task_id in own]
    assert Counter(taken) == Counter(ids)
    assert {row.retry_count for row in application.rows()} == {1}


def test_8_nothing_that_a_running_scheduler_sends_counts_rows_or_computes_with_a_column_it_searches(
    application: Application,
) -> None:
    @application.outbox.task(retry_interval_seconds=0.01, max_retries=1, max_retry_interval_seconds=0.01)
    def issue(number: int) -> None:
        if number % 3 == 0:
            raise RetryTask

    application.outbox.periodic("issue", "* * * * * *", arguments={"number": 1})
    enqueue_numbers(application, issue, 50)
    for number in range(20):
        with application.session() as session, session.begin():
            application.outbox.publish(session, "user.registered", number)
    hold(application, 1)
    let_claims_run_out(application)
    fast = dict.fromkeys(("monitor_interval_seconds", "cleaning_interval_seconds", "cleaning_pause_seconds"), 0.02)
    retained = dict.fromkeys(("success_retention_seconds", "failed_retention_seconds", "dedupe_retention_seconds"), 0.2)
    with statements_of(application.engine) as sent:
        handled(application, lambda: bool(application.signals.of(SettledRowsDeleted)), **fast, **retained)
    texts = [statement for statement, _ in sent]
    assert len(texts) > 50
    assert [text for text in texts if re.search(r"\bcount\s*\(", text, re.IGNORECASE)] == []
    searches = [text.upper().partition(" WHERE ")[2] for text in texts]
    computed = re.compile(
        r"\(\s*`?\"?(ASYNCFLOW_\w+\.)?(ORDER_TIME|MODIFIED_AT|CREATED_AT|LEASE_UNTIL)\b`?\"?\s*[,)+-]"
    )
    assert [search for search in searches if computed.search(search)] == []


def test_9_a_handler_that_breaks_is_written_down_and_no_more_work_at_once_than_asked_for(
    application: Application,
) -> None:
    at_work, most, lock, are_several = [0], [0], threading.Lock(), threading.Event()

    @application.outbox.task(max_retries=0, concurrency=3)
    def issue(number: int) -> None:
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
            if at_work[0] > 1:
                are_several.set()
        assert are_several.wait(120)
        time.sleep(0.01)  # so that more than three would be seen
        with lock:
            at_work[0] -= 1
        if number % 10 == 0:
            raise SystemExit(1)
        if number % 10 == 1:
            raise RecursionError

    enqueue_numbers(application, issue, 60)
    handled(application, lambda: not {0, 1} & set(application.statuses()))
    assert statuses(application) == {Status.SUCCESS: 48, Status.FAILED: 12}
    assert 1 < most[0] <= 3
    assert all(row.schedule_log for row in application.rows() if row.status == Status.FAILED)


def test_9_the_time_of_an_attempt_begins_with_its_work_however_many_wait_before_it(application: Application) -> None:
    deadlines: list[datetime] = []

    @application.outbox.task(max_processing_time_seconds=3600, concurrency=1, limit=10, max_retries=0)
    def issue(ctx: TaskContext, number: int) -> None:
        deadlines.append(ctx.deadline)
        time.sleep(0.15)  # which the time of the next one must not lack

    enqueue_numbers(application, issue, 8)
    handled(application, lambda: not {0, 1} & set(application.statuses()))
    assert statuses(application) == {Status.SUCCESS: 8}
    assert {row.retry_count for row in application.rows()} == {1}
    assert all(later - earlier > timedelta(seconds=0.1) for earlier, later in pairwise(deadlines))


def test_10_an_idle_scheduler_sleeps_between_two_looks(application: Application) -> None:
    for number in range(10):
        application.outbox.task(f"type-{number}")(lambda: None)
    application.outbox.periodic("type-0", "0 0 1 1 *")
    scheduler = application.scheduler()
    scheduler.start()
    try:
        _wait_until_it_has_slept_for_a_while(application)
        began = time.monotonic()
        with statements_of(application.engine) as sent:
            assert not scheduler.wait(2.0)
        seconds = time.monotonic() - began
    finally:
        scheduler.stop()
    assert len(sent) <= 20 * seconds, Counter(statement for statement, _ in sent).most_common(5)


def _wait_until_it_has_slept_for_a_while(application: Application) -> None:
    """Wait until pauses have grown: until half a second passes with a few statements only."""
    for _ in range(240):
        with statements_of(application.engine) as sent:
            time.sleep(0.5)  # what is looked for is that nothing happens
        if len(sent) <= 10:
            return
    raise AssertionError(f"it never comes to rest: {len(sent)} statements in half a second")


def test_11_a_task_that_is_committed_late_is_not_passed_by(application: Application) -> None:
    seen: list[int] = []

    @application.outbox.task
    def issue(number: int) -> None:
        seen.append(number)

    # SQLite has one writer at a time, so there the early one begins later; its id is the earlier one all the same.
    is_alone = application.engine.dialect.name == "sqlite"
    scheduler = application.scheduler(success_retention_seconds=0.05, cleaning_interval_seconds=0.05)
    with Session(application.engine) as late:
        early = application.outbox.enqueue(late, issue, number=-1)
        if not is_alone:
            late.flush()
        later = enqueue_numbers(application, issue, 100)
        assert early < min(later)
        scheduler.start()
        try:
            eventually(lambda: len(seen) == 100)
            eventually(lambda: application.rows() == [])  # all that was newer is done and gone
            late.commit()
            eventually(lambda: -1 in seen)
        finally:
            scheduler.stop()
    assert sorted(seen) == list(range(-1, 100))
