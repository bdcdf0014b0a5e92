"""A claim whose row somebody has locked beyond its lease: what its handler did is told as done, and not as died."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import func, select

from asyncflow import Call, Status, TaskContext
from asyncflow.events import ClaimsRanOut, StepFailed, TaskFailed
from asyncflow.outbox.clock import seconds_until
from asyncflow.outbox.dialects.mysql import MySQL
from tests.integration.scheduler.relay.test_locked_rows import locked
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
COUNT = 12


def ran_out(application: Application, seconds: float) -> bool:
    """Tell whether all claims ran out so long ago."""
    tasks = application.outbox.tasks
    latest = select(func.max(seconds_until(tasks.c.order_time))).where(tasks.c.status == int(Status.PROCESSING))
    return bool(application.rows(latest)[0][0] < -seconds)


@pytest.mark.parametrize("skips", [True, False])
def test_what_is_done_while_its_row_is_locked_beyond_its_claim_is_told_as_done(
    skips: bool, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not skips:
        if application.engine.dialect.name == "postgresql":
            pytest.skip("each PostgreSQL has SKIP LOCKED")
        monkeypatch.setattr(MySQL, "skips_locked", lambda *_: False)
    go, begun = threading.Event(), threading.Semaphore(0)

    @application.outbox.task("effect", concurrency=COUNT, max_retries=0)
    def effect() -> None:
        begun.release()
        go.wait(60)

    with application.engine.begin() as connection:
        ids = application.outbox.enqueue_many(connection, "effect", [Call({})] * COUNT)
    tasks = application.outbox.tasks
    rows = select(tasks.c.id).where(tasks.c.id.in_(ids), tasks.c.status == int(Status.PROCESSING))
    with application.scheduler(claim_lease_seconds=5, monitor_interval_seconds=0.1):
        for _ in range(COUNT):
            assert begun.acquire(timeout=60)
        with locked(application.engine, rows):
            go.set()
            eventually(lambda: ran_out(application, 1.5))
        eventually(lambda: Status.PROCESSING not in application.statuses())
        assert application.statuses() == [Status.SUCCESS] * COUNT
        assert not begun.acquire(blocking=False)
    assert application.signals.of(ClaimsRanOut) == []
    assert application.signals.of(TaskFailed) == []


def test_rows_that_are_locked_hide_no_others_whose_claims_ran_out(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncflow.scheduler.worker.rescuing.rescue.PAGE", 2)
    application.outbox.task("effect", max_retries=3)(lambda: None)
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        ids = application.outbox.enqueue_many(connection, "effect", [Call({})] * 20)
        values = {"status": int(Status.PROCESSING), "shard": 0, "retry_count": 1}
        connection.execute(tasks.update().values(values))
    scheduler = application.scheduler(monitor_interval_seconds=0.1, lease_seconds=600)
    scheduler.ownership.acquire()
    with application.engine.connect() as rival:
        for one in ids[:9]:  # one by one: of a small table a server may lock all
            assert rival.execute(select(tasks.c.id).where(tasks.c.id == one).with_for_update()).all()
        eventually(
            lambda: (
                (scheduler.machinery.staff.monitor.step(), application.statuses().count(Status.PENDING)) == (0.1, 11)
            )
        )
    eventually(
        lambda: (scheduler.machinery.staff.monitor.step(), application.statuses().count(Status.PENDING)) == (0.1, 20)
    )
    scheduler.stop()


@pytest.mark.parametrize("skips", [True, False])
def test_a_locked_context_holds_up_its_own_task_alone(
    skips: bool, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not skips:
        if application.engine.dialect.name == "postgresql":
            pytest.skip("each PostgreSQL has SKIP LOCKED")
        monkeypatch.setattr(MySQL, "skips_locked", lambda *_: False)
    go, begun = threading.Event(), threading.Event()

    @application.outbox.task("long")
    def long(ctx: TaskContext) -> None:
        ctx.checkpoint(stage="begun", context={"text": "x" * 20_000})
        begun.set()
        go.wait(60)

    application.outbox.task("other")(lambda: None)
    contexts = application.outbox.contexts
    with application.scheduler(on_success="delete"):
        with application.engine.begin() as connection:
            application.outbox.enqueue(connection, "long")
        assert begun.wait(60)
        with locked(application.engine, select(contexts.c.task_id)):
            go.set()
            for _ in range(3):
                with application.engine.begin() as connection:
                    application.outbox.enqueue_many(connection, "other", [Call({})] * 10)
                eventually(lambda: application.statuses() == [Status.PROCESSING])
        eventually(lambda: application.rows() == [])
    assert application.rows(select(contexts)) == []
    assert application.signals.of(StepFailed) == []
