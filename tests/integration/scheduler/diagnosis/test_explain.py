"""Why one task has not happened yet, in each state that a row can be in."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from asyncflow import Status
from asyncflow.errors import OptionError, TaskNotFoundError
from asyncflow.scheduler import DeadLetters, Outcome, Rejected, Retry, Selection
from asyncflow.scheduler.diagnosis.explain import Explanation, explain
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.diagnosis.conftest import QUICK
from tests.integration.scheduler.publishers import LONG, Switch
from tests.integration.scheduler.writing import publish, publish_foreign, publish_many
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually


def told(application: Application, task_id: UUID | str) -> Explanation:
    return explain(application.engine, application.outbox, task_id)


def eventually_told(application: Application, task_id: UUID, part: str) -> Explanation:
    seen: list[Explanation] = []

    def is_told() -> bool:
        seen[:] = [told(application, task_id)]
        return part in seen[0].why

    eventually(is_told)
    return seen[0]


def write(application: Application, task_id: UUID, **values: Any) -> None:
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        connection.execute(update(tasks).where(tasks.c.id == task_id).values(**values))


def test_what_has_ended_or_waits_for_its_time_needs_no_scheduler_to_be_explained(application: Application) -> None:
    done, dead, cancelled, late, again, put_off, due = publish_many(application, 7)
    log = {"schedule_log": "2026-01-01T00:00:00Z it broke [app.py:1 in run]\n"}
    write(application, done, status=int(Status.SUCCESS), modified_at=timedelta(hours=-5))
    write(application, dead, status=int(Status.FAILED), retry_count=3, order_time=timedelta(hours=-3), **log)
    in_ten_hours = timedelta(hours=10)
    write(application, late, next_select_time=in_ten_hours, order_time=in_ten_hours)
    write(application, again, next_select_time=in_ten_hours, order_time=in_ten_hours, retry_count=2, **log)
    write(application, put_off, next_select_time=in_ten_hours, order_time=in_ten_hours, **log)
    DeadLetters(application.engine, application.outbox).cancel(Selection(ids=[cancelled]), actor="ann", reason="old")
    assert told(application, done).why == "It has happened, 5 h ago, at attempt 1."
    explained = told(application, dead)
    assert explained.why == "It is a dead letter since 3 h, after 3 attempts; the last entry of its log: it broke."
    assert explained.remedy == f"asyncflow dead-letters replay --id {dead} --yes"
    assert (
        " ago and will not happen; the last entry of its log: cancel by ann: old." in told(application, cancelled).why
    )
    explained = told(application, late)
    assert explained.why == "It is not due yet: it was enqueued with a delay, which ends in 10 h."
    assert explained.next_try is not None
    assert told(application, again).why == (
        "It failed 2 times and is tried again in 10 h; the last entry of its log: it broke."
    )
    assert told(application, put_off).why == (
        "It was put off, which spends no attempt, and is tried again in 10 h; the last entry of its log: it broke."
    )
    explained = told(application, due)
    assert explained.why.startswith("No scheduler runs, and none has taken a shard here yet")
    assert explained.remedy == "asyncflow run MODULE:SCHEDULER"


def test_what_does_not_exist_and_what_is_no_id_is_refused(application: Application) -> None:
    with pytest.raises(TaskNotFoundError):
        told(application, uuid4())
    with pytest.raises(OptionError, match="give a UUID"):
        told(application, "17")


def test_what_waits_beside_a_scheduler_is_explained_by_what_it_waits_for(
    application: Application, schedule: Schedule
) -> None:
    outbox, hang = application.outbox, threading.Event()
    outbox.message("off", enabled=False)
    outbox.message("unreachable", destination="away")
    outbox.message("in.order", ordered=True, max_retries=0)
    outbox.message("again", retry_interval_seconds=1000.0, max_retry_interval_seconds=1000.0)

    @outbox.task("long", concurrency=1)
    def long() -> None:
        hang.wait(2 * LONG)

    answers: dict[str, Outcome] = {"in.order": Rejected("too large"), "again": Retry("busy")}
    broker = MemoryPublisher(lambda one: answers.get(one.topic) or Rejected("?"))
    scheduler = schedule({"kafka": broker, "away": Switch(away=True)}, **QUICK)
    scheduler.start()
    try:
        ghost = publish_foreign(application.engine, "ghost")
        off, unreachable = (publish(application, task_type=name) for name in ("off", "unreachable"))
        first, second = (publish(application, task_type="in.order", key="A1") for _ in range(2))
        retried = publish(application, task_type="again")
        with application.session() as session, session.begin():
            at_work = outbox.enqueue(session, "long")
        explained = eventually_told(application, ghost, "the one instance that runs does not declare it")
        assert explained.status is Status.PENDING
        assert eventually_told(application, off, "it is switched off").remedy is not None
        eventually_told(application, unreachable, "away cannot be reached by")
        explained = eventually_told(application, second, f"waits behind the dead letter {first}")
        assert explained.remedy == f"asyncflow dead-letters show --id {first}"
        explained = eventually_told(application, retried, "It failed once and is tried again in ")
        assert explained.why.endswith("; the last entry of its log: busy.")
        explained = eventually_told(application, at_work, f"{scheduler.ownership.owner} is at work on it, attempt 1, ")
        assert "if nothing more is heard, the task is given back in " in explained.why
        assert explained.next_try is None
        write(application, at_work, owner="killed", order_time=timedelta(seconds=600))
        eventually_told(application, at_work, "which is no instance that runs")
        write(application, off, shard=100)
        eventually_told(application, off, "but there are 64: it was enqueued with another shard_count")
    finally:
        hang.set()


def test_a_claim_that_ran_out_is_explained_by_whom_it_waits_for(application: Application) -> None:
    task_id = publish(application)
    ran_out = {"order_time": timedelta(hours=-3), "modified_at": timedelta(hours=-5)}
    write(application, task_id, status=int(Status.PROCESSING), owner="killed", **ran_out)
    explained = told(application, task_id)
    assert explained.why.startswith("killed claimed it 5 h ago, and the claim ran out 3 h ago; the monitor of the")
    assert explained.why.endswith(", and nobody owns that shard.")


def test_what_is_next_in_its_lane_is_told_to_be_so(application: Application, schedule: Schedule) -> None:
    scheduler = schedule(Switch())
    scheduler.ownership.acquire()
    task_id = publish(application)
    assert told(application, task_id).why.endswith(
        f"{scheduler.ownership.owner} owns shard {_shard(task_id)} and takes it soon."
    )
    with application.session() as session, session.begin():
        before = application.outbox.publish(session, "user.registered", {}, priority=100)
    write(application, before, shard=_shard(task_id))
    assert "; 1 of its lane goes before it, and " in told(application, task_id).why
    scheduler.ownership.release()


def _shard(task_id: UUID) -> int:
    return task_id.int % 64
