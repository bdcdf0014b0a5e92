"""Workers of a queue that tell a task service what became of their tasks: nothing of it goes by the broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import Engine, select

from asyncflow import Done, Status
from asyncflow.errors import ClaimLostError, OptionError, UnreachableError
from asyncflow.events import StepFailed
from asyncflow.integrations.flowsvr.queueing import OutcomesByService
from asyncflow.scheduler.queues.notes import ClaimNote, Reached, note_of
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from tests.integration.integrations.flowsvr.conftest import SECRETS
from tests.integration.integrations.flowsvr.test_workers import serving
from tests.integration.scheduler.queues.suite import QUEUE, Office, wait_until
from tests.support.memory_queue import MemoryQueue

_OPTIONS: dict[str, Any] = {"token": SECRETS["worker"], "request_timeout_seconds": 60.0}


class Way(httpx.HTTPTransport):
    """Lead to the service, unless it is away, or is to refuse all that names a task."""

    is_away = False
    refused = ""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("the service is away")
        if self.refused and self.refused.encode() in request.read():
            return httpx.Response(422, json={"title": "never"})
        return super().handle_request(request)


@pytest.fixture
def way() -> Way:
    return Way()


@pytest.fixture
def broker() -> MemoryQueue:
    return MemoryQueue()


@pytest.fixture
def office(engine: Engine, broker: MemoryQueue, way: Way) -> Iterator[Office]:
    with ExitStack() as until:
        office = Office(engine, broker, until)
        url = until.enter_context(serving(office))  # type: ignore[arg-type]  # of which it needs engine and outbox
        office.queue = OutcomesByService(broker, url, transport=way, **_OPTIONS)
        yield office


def test_the_outcomes_are_the_same_and_none_goes_by_the_broker(office: Office, broker: MemoryQueue) -> None:
    office.schedule()
    office.work()
    office.enqueue(office.issue, *range(10, 16), -1)
    wait_until(lambda: office.count(Status.SUCCESS) == 6 and office.count(Status.FAILED) == 1)

    assert sorted(office.done) == [-1, 10, 11, 12, 14, 15]
    assert (-1, "asked", {"number": -1}) in office.stages
    assert {row.retry_count for row in office.rows()} == {1, 2}
    assert broker.told == []
    with office.engine.connect() as connection:
        tasks = office.outbox.tasks.c
        (told,) = connection.scalars(select(tasks.schedule_log).where(tasks.status == int(Status.FAILED)))
        results = [office.outbox.result(connection, row.id) for row in office.rows() if row.status == Status.SUCCESS]
    assert "RejectTask: never" in told
    assert sorted(one.value for one in results if isinstance(one, Done)) == sorted(2 * one for one in office.done)


def test_what_was_done_while_the_service_was_away_is_told_when_it_is_back(office: Office, way: Way) -> None:
    office.schedule()
    office.work()
    office.enqueue(office.slow, 1)
    wait_until(lambda: office.done == [1])
    way.is_away = True
    office.may_end.set()
    office.signals.wait_for(StepFailed, lambda event: "the service is away" in str(event.error))
    assert office.count(Status.SUCCESS) == 0
    way.is_away = False
    wait_until(lambda: office.count(Status.SUCCESS) == 1)
    assert office.done == [1]


def test_a_claim_that_has_run_out_is_told_to_a_checkpoint_and_its_outcome_changes_nothing(
    office: Office, broker: MemoryQueue
) -> None:
    office.schedule()
    office.enqueue(office.issue, 1)
    (letter,) = office.take_by_hand()
    held = HeldClaim(letter.task.id, letter.token)
    line = office.queue.telling(QUEUE)
    office.let_claims_run_out()
    wait_until(lambda: len(broker.sent) == 2)  # under another token
    with pytest.raises(ClaimLostError):
        line.tell([note_of(ClaimNote(renewed=[held], lease_seconds=30.0, reached=[Reached(held, "late", None)]))])
    line.tell([note_of(ClaimNote(outcomes=[ClaimOutcome(held, "failed", None, "too late")]))])
    line.close()
    office.work()
    wait_until(lambda: office.count(Status.SUCCESS) == 1)
    assert office.done == [1]


def test_one_outcome_that_the_service_never_takes_holds_up_no_other(
    office: Office, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    office.schedule()
    office.enqueue(office.issue, 1, 2)
    letters = office.take_by_hand(2)
    way.refused = str(letters[0].task.id)
    outcomes = [ClaimOutcome(HeldClaim(one.task.id, one.token), "success", None, "") for one in letters]
    line = office.queue.telling(QUEUE)
    line.tell([note_of(ClaimNote(outcomes=outcomes))])
    line.close()
    assert office.count(Status.SUCCESS) == 1
    assert f"the outcome of the task {way.refused} is not taken" in caplog.text


def test_a_token_that_the_service_does_not_know_is_told_and_nothing_is_dropped(office: Office) -> None:
    with serving(office) as url:  # type: ignore[arg-type]
        line = OutcomesByService(MemoryQueue(), url, token="x" * 40).telling(QUEUE)
        outcome = ClaimOutcome(HeldClaim(uuid4(), uuid4()), "success", None, "")
        with pytest.raises(UnreachableError, match="answered 401"):
            line.tell([note_of(ClaimNote(outcomes=[outcome]))])
        line.close()


@pytest.mark.parametrize(
    ("queue", "options", "told"),
    [
        ("redis://h", {}, "queue is 'redis://h'; give one such as"),
        (MemoryQueue(), {"token": ""}, "token is no ASCII text"),
        (MemoryQueue(), {"settle_batch": 0}, "settle_batch is 0"),
    ],
    ids=["queue", "token", "batch"],
)
def test_options_that_cannot_be_are_refused(queue: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        OutcomesByService(queue, "https://h", **options)
