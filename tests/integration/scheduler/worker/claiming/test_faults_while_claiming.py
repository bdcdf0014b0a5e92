"""What raises between the claim of tasks and their beginning: the tasks are done all the same, and soon."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from asyncflow import Call, Scheduler, Status, TaskContext
from asyncflow.scheduler.heads.recent_heads import RecentHeads
from asyncflow.scheduler.loops.threads import Threads
from asyncflow.scheduler.worker import attempt as attempts
from asyncflow.scheduler.worker.claim_facts import ClaimFacts
from asyncflow.scheduler.worker.claiming.shard_claims import ShardClaims
from asyncflow.scheduler.worker.crew import Crew
from asyncflow.scheduler.worker.crews import Crews
from tests.support.application import Application

_COUNT = 12


class Fault(BaseException):
    """Be an error that is no Exception, as one that a hook may raise to end its thread."""


class Done:
    """Keep what handlers did: the number of each task and the attempt."""

    def __init__(self, application: Application) -> None:
        self.each: Counter[tuple[str, int, int]] = Counter()
        outbox = application.outbox

        @outbox.task(concurrency=2, limit=_COUNT, max_retries=0)
        def first(number: int, ctx: TaskContext) -> None:
            self.each["first", number, ctx.attempt] += 1

        @outbox.task(concurrency=2, limit=_COUNT, max_retries=0)
        async def second(number: int, ctx: TaskContext) -> None:
            self.each["second", number, ctx.attempt] += 1

        with application.engine.begin() as connection:
            for name in ("first", "second"):
                outbox.enqueue_many(connection, name, [Call({"number": number}) for number in range(_COUNT)])

    def is_all(self, names: tuple[str, ...] = ("first", "second")) -> bool:
        return self.each == Counter((name, number, 1) for name in names for number in range(_COUNT))


@pytest.fixture
def scheduler(sqlite_application: Application) -> Iterator[Scheduler]:
    scheduler = sqlite_application.scheduler(claim_lease_seconds=600)
    scheduler.ownership.acquire()
    yield scheduler
    scheduler.worker.close()


def raise_once(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, error: BaseException) -> None:
    real, is_raised = getattr(place, name), threading.Event()

    def raising(*arguments: Any, **options: Any) -> Any:
        if not is_raised.is_set():
            is_raised.set()
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(place, name, raising)


@pytest.mark.parametrize(
    "error", [RuntimeError("broken"), MemoryError(), Fault()], ids=lambda error: type(error).__name__
)
@pytest.mark.parametrize(
    ("place", "name"),
    [
        (RecentHeads, "move"),
        (ShardClaims, "_moved"),
        (Crews, "hand_out"),
        (Crews, "_take"),
        (Crew, "__init__"),
        (Crew, "take"),
        (Crew, "resume"),
        (Threads, "run"),
    ],
    ids=lambda place: getattr(place, "__name__", place),
)
def test_claims_that_came_into_no_hands_are_done_soon_and_lost_no_attempt(
    place: Any,
    name: str,
    error: BaseException,
    sqlite_application: Application,
    scheduler: Scheduler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = Done(sqlite_application)
    raise_once(monkeypatch, place, name, error)

    with pytest.raises(type(error)):
        scheduler.worker.step()
    scheduler.worker.drain(lambda: None)

    assert done.is_all()
    assert set(sqlite_application.statuses()) == {Status.SUCCESS}


def test_a_stop_after_a_fault_gives_back_what_came_into_no_hands(
    sqlite_application: Application, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    Done(sqlite_application)
    raise_once(monkeypatch, Crews, "hand_out", RuntimeError("broken"))

    with pytest.raises(RuntimeError):
        scheduler.worker.step()
    assert Status.PROCESSING in sqlite_application.statuses()
    scheduler.worker.close()

    assert {(row.status, row.retry_count) for row in sqlite_application.rows()} == {(Status.PENDING, 0)}


def test_a_type_that_can_be_handed_to_nobody_holds_up_no_other(
    sqlite_application: Application, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, real = Done(sqlite_application), Crews._take

    def take(crews: Crews, task_type: Any, claims: Any) -> None:
        if task_type.name == "first":
            raise RuntimeError("broken type")
        real(crews, task_type, claims)

    monkeypatch.setattr(Crews, "_take", take)
    with pytest.raises(RuntimeError):
        scheduler.worker.step()
    monkeypatch.setattr(Crews, "_take", lambda *_: None)
    monkeypatch.setattr(scheduler.worker, "_claim", lambda _: 1.0)
    scheduler.worker.drain(lambda: None)

    assert done.is_all(("second",))
    rows = {(row.task_type, row.status, row.retry_count) for row in sqlite_application.rows()}
    assert ("first", Status.PENDING, 0) in rows
    assert not any(status == Status.PROCESSING for _, status, _ in rows)


def test_a_task_that_cannot_begin_fails_and_its_hand_goes_on(
    sqlite_application: Application, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, real = Done(sqlite_application), ClaimFacts

    def facts_of(claim: Any, *tools: Any) -> Any:
        if b'"number":3}' in claim.task.payload.replace(b" ", b""):
            raise MemoryError
        return real(claim, *tools)

    monkeypatch.setattr(attempts, "ClaimFacts", facts_of)
    scheduler.worker.drain(lambda: None)

    statuses = Counter(sqlite_application.statuses())
    assert statuses == {Status.SUCCESS: 2 * (_COUNT - 1), Status.FAILED: 2}
    assert done.each.total() == 2 * (_COUNT - 1)
    assert not scheduler.worker.crews.held.total()
