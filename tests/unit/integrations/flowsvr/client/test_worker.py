"""The worker of a task service: the same handlers, over HTTP, with a service that is not always there."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from asyncflow import CancelTask, NotDone, RejectTask, RetryTask, Scheduler, TaskContext
from asyncflow.errors import ClaimLostError, OptionError, SchedulerStoppedError, ServiceRefusedError, TablesMissingError
from asyncflow.events import (
    AttemptFailed,
    Event,
    SettleFenced,
    StepFailed,
    TaskFailed,
    TaskRetried,
    UnknownTypeSeen,
    WorkerStarted,
    WorkerStopped,
)
from asyncflow.integrations.flowsvr.client import ServiceWorker
from asyncflow.testing import Signals
from tests.unit.integrations.flowsvr.client.fake_service import FakeService, problem, small_outbox
from tests.unit.scheduler.waiting import eventually


def test_handlers_run_unchanged_and_what_they_raise_is_told_to_the_service() -> None:
    service, outbox, signals, seen = FakeService(), small_outbox(), Signals(), list[Any]()

    @outbox.task()
    def working(how: str, ctx: TaskContext) -> None:
        seen.append((how, ctx.attempt))
        if how == "later" and ctx.stage is None:
            ctx.checkpoint(stage="begun", context={"n": 1})
            raise NotDone(0)
        if how == "error" and ctx.attempt == 1:
            raise ValueError("not today")
        if how == "own delay" and ctx.attempt == 1:
            raise RetryTask(delay_seconds=0.01)
        if how == "later":
            seen.append((ctx.stage, ctx.context))
        if how in ("reject", "cancel"):
            raise {"reject": RejectTask, "cancel": CancelTask}[how]("for good")

    @outbox.task()
    async def coroutine(how: str) -> None:
        if how == "never":
            raise ValueError("never")

    for how in ("ok", "later", "error", "own delay", "reject", "cancel"):
        service.add("working", how=how)
    service.add("coroutine", how="ok")
    service.add("coroutine", how="never", max_retries=1)
    with service.worker(outbox, signals):
        service.wait_for("SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS", "FAILED", "CANCELLED", "SUCCESS", "FAILED")
        signals.wait_for(TaskFailed, lambda failed: "never" in failed.error)

    assert ("begun", {"n": 1}) in seen
    assert seen.count(("later", 1)) == 2  # NotDone spends no attempt
    told = [outcome for body in service.sent("/v2/tasks/set") for outcome in body["outcomes"]]
    assert {one["outcome"] for one in told} == {"success", "not_done", "retry", "failed", "cancelled"}
    # The service knows the policy; a delay of the handler's own goes before it.
    assert sorted(one.get("delay_seconds", -1) for one in told if one["outcome"] == "retry") == [-1, -1, -1, 0.01]
    assert {failed.error for failed in signals.of(TaskFailed)} == {"RejectTask: for good", "ValueError: never"}
    assert len(signals.of(TaskRetried)) == 3
    assert [event.task_types for event in signals.of(WorkerStarted)] == [("working", "coroutine")]
    assert [event.clean for event in signals.of(WorkerStopped)] == [True]


def test_a_service_that_is_away_at_the_start_or_later_loses_nothing() -> None:
    service, outbox, signals = FakeService(), small_outbox(), Signals()

    @outbox.task(concurrency=1)
    def working() -> None:
        service.is_away = True

    service.is_away = True
    service.add("working")
    with service.worker(outbox, signals):
        signals.wait_for(StepFailed)
        service.is_away = False
        with service.changed:
            assert service.changed.wait_for(lambda: service.statuses() == ["PROCESSING"], 60)
        asked = len(service.sent("/v2/tasks/set"))
        while len(service.sent("/v2/tasks/set")) < asked + 3:  # it tries again and again
            signals.wait_for(StepFailed)
        assert service.statuses() == ["PROCESSING"]
        service.is_away = False
        service.wait_for("SUCCESS")


@pytest.mark.parametrize("status", [429, 503])
def test_the_worker_leaves_a_busy_service_alone_for_as_long_as_it_asks(status: int) -> None:
    service, outbox, signals = FakeService(), small_outbox(), Signals()
    outbox.task("working")(lambda: None)
    service.add("working")
    service.fail("/v2/tasks/hold", problem(status, "later", **{"Retry-After": "0.4"}))
    with service.worker(outbox, signals):
        failed = signals.wait_for(StepFailed)
        service.wait_for("SUCCESS")

    assert failed.pause_seconds >= 0.4


def test_a_lost_claim_is_fenced_and_cancels_its_handler() -> None:
    service, outbox, signals, raised = FakeService(), small_outbox(), Signals(), list[Any]()

    @outbox.task()
    def working(ctx: TaskContext) -> None:
        service.take_away()
        look = threading.Event()
        for _ in range(6000):
            if ctx.cancelled:
                break
            look.wait(0.01)
        try:
            ctx.checkpoint(stage="late")
        except ClaimLostError as error:
            raised.append(error)

    service.add("working")
    with service.worker(outbox, signals, claim_lease_seconds=0.3):
        signals.wait_for(SettleFenced)

    assert len(raised) == 1
    assert service.statuses() == ["PROCESSING"]


def test_a_claim_is_renewed_while_its_handler_works() -> None:
    service, outbox, released = FakeService(), small_outbox(), threading.Event()
    outbox.task("working")(lambda: released.wait(60))
    service.add("working")
    with service.worker(outbox, claim_lease_seconds=0.2):
        service.wait_for("PROCESSING")
        look = threading.Event()
        while len(service.sent("/v2/tasks/renew")) < 3:  # one asks at the start whether the token is good
            look.wait(0.01)
        released.set()
        service.wait_for("SUCCESS")


def test_a_stop_finishes_what_is_at_work_and_gives_back_what_is_not() -> None:
    service, outbox, begun, released = FakeService(), small_outbox(), threading.Event(), threading.Event()

    @outbox.task(concurrency=1, limit=3)
    def working(number: int, ctx: TaskContext) -> None:
        begun.set()
        while not ctx.cancelled:
            released.wait(0.01)

    for number in range(5):
        service.add("working", number=number)
    worker = service.worker(outbox)
    worker.start()
    worker.start()  # does nothing
    service.wait_for(*["PROCESSING"] * 3, *["PENDING"] * 2)
    assert begun.wait(60)
    assert worker.stop()
    assert worker.stop()
    assert worker.wait(0)

    assert service.statuses() == ["SUCCESS"] + ["PENDING"] * 4
    assert [task["attempt"] for task in service.tasks.values()] == [1, 0, 0, 0, 0]
    with pytest.raises(SchedulerStoppedError):
        worker.start()


def test_what_arrives_while_the_worker_stops_is_given_back() -> None:
    service, outbox = FakeService(), small_outbox()
    outbox.task("working")(lambda: None)
    worker = service.worker(outbox, wait_seconds=10.0, stop_timeout_seconds=60.0)
    service.most_wait_seconds = 10.0
    worker.start()
    eventually(lambda: service.sent("/v2/tasks/hold"))
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    eventually(worker._parts.handlers._stopping.is_set)  # what came before it would be done
    service.add("working")
    stopping.join(60)

    assert service.statuses() == ["PENDING"]
    assert [task["attempt"] for task in service.tasks.values()] == [0]


def test_a_hook_may_stop_the_worker_while_somebody_else_does() -> None:
    service, outbox, called = FakeService(), small_outbox(), threading.Event()

    @outbox.task("working")
    def working() -> None:
        raise ValueError("not today")

    def hook(event: Event) -> None:
        if isinstance(event, AttemptFailed):
            called.set()
            worker.stop()

    worker = service.worker(outbox, hook, stop_timeout_seconds=600.0)
    service.add("working")
    worker.start()
    stopping = threading.Thread(target=worker.stop, daemon=True)
    with worker._lifecycle:  # neither is the first before both have called
        assert called.wait(60)
        stopping.start()
    stopping.join(60)
    assert not stopping.is_alive()
    assert worker.wait(60)
    told = [outcome for body in service.sent("/v2/tasks/set") for outcome in body["outcomes"]]
    assert told[0]["outcome"] == "retry"  # the step in hand was not cut short


def test_one_outcome_that_is_refused_does_not_hold_up_the_others() -> None:
    service, outbox, signals = FakeService(), small_outbox(), Signals()
    together = threading.Barrier(2)
    outbox.task("working")(lambda: together.wait(60) and None)
    for _ in range(2):
        service.add("working")
    service.fail("/v2/tasks/set", *[problem(422, "error is too long")] * 2)
    with service.worker(outbox, signals):
        signals.wait_for(SettleFenced)
        look = threading.Event()
        for _ in range(500):
            if "SUCCESS" in service.statuses() or len(service.sent("/v2/tasks/set")) >= 3:
                break
            look.wait(0.01)

    assert sorted(service.statuses()) in (["PROCESSING", "SUCCESS"], ["PROCESSING", "PROCESSING"])


def test_types_with_room_are_asked_for_while_another_is_full() -> None:
    service, outbox, released, done = FakeService(), small_outbox(), threading.Event(), threading.Event()
    outbox.task("full", concurrency=1)(lambda: released.wait(60))
    outbox.task("free")(lambda: done.set())
    service.add("full")
    with service.worker(outbox, wait_seconds=5.0):
        service.wait_for("PROCESSING")
        service.add("free")
        assert done.wait(60)
        released.set()
        service.wait_for("SUCCESS", "SUCCESS")
    limits = [set(body["limits"]) for body in service.sent("/v2/tasks/hold")]
    assert {"full", "free"} in limits
    assert {"free"} in limits


def test_a_type_that_the_service_does_not_know_is_told_once() -> None:
    service, outbox, signals = FakeService(), small_outbox(), Signals()
    outbox.task("working")(lambda: None)
    empty = {"tasks": [], "lease_seconds": 30, "unknown": ["working"]}
    service.fail("/v2/tasks/hold", *(httpx.Response(200, json=empty) for _ in range(3)))
    with service.worker(outbox, signals):
        service.add("working")
        service.wait_for("SUCCESS")

    assert [event.task_type for event in signals.of(UnknownTypeSeen)] == ["working"]


def test_an_answer_of_another_form_is_told_and_asked_for_again() -> None:
    service, outbox, signals = FakeService(), small_outbox(), Signals()
    outbox.task("working")(lambda: None)
    service.fail("/v2/tasks/hold", httpx.Response(200, json={"rows": []}))
    service.add("working")
    with service.worker(outbox, signals):
        service.wait_for("SUCCESS")
    assert len(signals.of(StepFailed)) == 1


def test_a_worker_that_could_not_work_does_not_start(tmp_path: Path) -> None:
    service, outbox = FakeService(), small_outbox()
    with pytest.raises(OptionError, match="no handlers"):
        service.worker(outbox).start()

    @outbox.task(transactional=True)
    def adding(session: Session) -> None: ...

    with pytest.raises(OptionError, match=r"'adding' .*Scheduler"):
        service.worker(outbox).start()
    scheduler = Scheduler(create_engine(f"sqlite:///{tmp_path}/empty.db"), outbox, {})
    with pytest.raises(TablesMissingError):
        service.worker(scheduler).start()
    with pytest.raises(OptionError, match="target"):
        ServiceWorker("outbox", "http://service")  # type: ignore[arg-type]


def test_a_wrong_token_is_told_at_the_start() -> None:
    service, outbox = FakeService(), small_outbox()
    outbox.task("working")(lambda: None)
    with pytest.raises(ServiceRefusedError, match="401"), service.worker(outbox, token="wrong"):
        pass
