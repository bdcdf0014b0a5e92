"""Claims that a worker of a task service cannot use, or gets too late: given back at once, unspent, and told of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from asyncflow.errors import ServiceAwayError, UnreadableAnswerError
from asyncflow.events import SettleFenced, StepFailed, TasksSettled
from asyncflow.integrations.flowsvr.client.answers import HeldTask
from asyncflow.integrations.flowsvr.client.http_claims import HttpClaims
from asyncflow.outbox import Outbox
from asyncflow.testing import Signals
from tests.unit.integrations.flowsvr.client.fake_service import FakeService, problem, small_outbox
from tests.unit.scheduler.waiting import eventually

Garble = Callable[[bytes], bytes]


def changed(**fields: Any) -> Garble:
    """Return what changes fields of each task of an answer; None takes one away."""

    def garble(content: bytes) -> bytes:
        answer = orjson.loads(content)
        for task in answer["tasks"]:
            task |= fields
        return orjson.dumps(
            {**answer, "tasks": [{k: v for k, v in task.items() if v is not None} for task in answer["tasks"]]}
        )

    return garble


def replaced(old: bytes, new: bytes) -> Garble:
    return lambda content: compact(content).replace(old, new)


def compact(content: bytes) -> bytes:
    """Return the JSON without spaces, which versions of httpx write or leave out."""
    return orjson.dumps(orjson.loads(content))


UNREADABLE: dict[str, Garble] = {
    "no number of the attempt": changed(attempt=None),
    "an attempt of another type": changed(attempt="first"),
    "no type": changed(task_type=None),
    "arguments that are no object": changed(arguments=[1, 2]),
    "tasks under another name": replaced(b'"tasks"', b'"rows"'),
    "tasks that are no list": lambda content: orjson.dumps({"tasks": {"all": orjson.loads(content)["tasks"]}}),
    "no lease": replaced(b'"lease_seconds"', b'"lease"'),
    "a list": lambda content: b"[" + content + b"]",
    "bytes that are no text": replaced(b'"arguments":{', b'"arguments":{"a":"\xff",'),
    "half a character": replaced(b'"arguments":{', b'"arguments":{"a":"\\ud800",'),
    "a number that is none": replaced(b'"arguments":{', b'"arguments":{"a":NaN,'),
    "an answer that is cut off": lambda content: content[:-8],
    "something after it": lambda content: content + b"}}",
}


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def outbox() -> Outbox:
    outbox = small_outbox()
    outbox.task("working")(lambda number: None)
    return outbox


def told(signals: Signals) -> int:
    return sum(event.retried for event in signals.of(TasksSettled))


@pytest.mark.parametrize("garble", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_tasks_of_an_answer_that_cannot_be_read_are_given_back_unspent_and_told_of(
    garble: Garble, service: FakeService, outbox: Outbox
) -> None:
    signals = Signals()
    ids = [service.add("working", number=number, max_retries=0) for number in range(3)]
    service.garble(garble)
    with service.worker(outbox, signals):
        service.wait_for(*["SUCCESS"] * 3)

    assert service.attempts() == [1] * 3  # with max_retries=0, and long before their claims ran out
    back = [one for body in service.sent("/v2/tasks/set") for one in body["outcomes"] if one["outcome"] == "given_back"]
    assert sorted(one["id"] for one in back) == sorted(ids)
    assert isinstance(signals.of(StepFailed)[0].error, ServiceAwayError)
    assert told(signals) == 3


def test_those_tasks_of_an_answer_that_can_be_read_are_done(service: FakeService, outbox: Outbox) -> None:
    signals, bad = Signals(), service.add("working", number=0)
    good = service.add("working", number=1)

    def garble(content: bytes) -> bytes:
        answer = orjson.loads(content)
        for task in answer["tasks"]:
            if task["id"] == bad:
                task["max_retries"] = "many"
        return orjson.dumps(answer)

    service.garble(*[garble] * 5)
    with service.worker(outbox, signals):
        service.wait_for("SUCCESS", "SUCCESS")

    settled = [(one["id"], one["outcome"]) for body in service.sent("/v2/tasks/set") for one in body["outcomes"]]
    assert settled.count((good, "success")) == 1
    assert settled.count((good, "given_back")) == 0
    assert settled.count((bad, "given_back")) == 5
    assert any(bad in str(event.error) for event in signals.of(StepFailed))


def test_a_client_is_told_the_claims_of_what_it_cannot_read(service: FakeService) -> None:
    ids = {service.add("working", number=number) for number in range(2)}
    service.garble(UNREADABLE["no lease"])
    with service.client() as client, pytest.raises(UnreadableAnswerError, match="lease_seconds") as caught:
        client.hold("me", {"working": 2})

    assert {str(its_id) for its_id, _ in caught.value.claims} == ids
    assert {str(token) for _, token in caught.value.claims} == {task["token"] for task in service.tasks.values()}


def test_what_could_not_be_made_a_claim_is_given_back(
    service: FakeService, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, errors = HttpClaims._claim_of, [MemoryError()]

    def claim_of(claims: HttpClaims, *given: Any) -> Any:
        if errors:
            raise errors.pop()
        return real(claims, *given)

    monkeypatch.setattr(HttpClaims, "_claim_of", claim_of)
    service.add("working", number=0, max_retries=0)
    with service.worker(outbox):
        service.wait_for("SUCCESS")
    assert service.attempts() == [1]


def test_one_that_can_never_be_taken_in_comes_ever_more_rarely_and_hinders_no_other(
    service: FakeService, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = HttpClaims._claim_of

    def claim_of(claims: HttpClaims, held: HeldTask, held_until: float) -> Any:
        if str(held.id) == bad:
            raise ValueError("poison")
        return real(claims, held, held_until)

    monkeypatch.setattr(HttpClaims, "_claim_of", claim_of)
    bad = service.add("working", number=0, max_retries=0)
    good = [service.add("working", number=number, max_retries=0) for number in range(1, 6)]

    def delays() -> list[float]:
        told = [one for body in service.sent("/v2/tasks/set") for one in body["outcomes"]]
        assert {one["outcome"] for one in told if one["id"] in good} <= {"success"}
        return [one["delay_seconds"] for one in told if one["id"] == bad]

    with service.worker(outbox, min_backoff_seconds=0.01, max_backoff_seconds=0.2):
        eventually(lambda: service.statuses().count("SUCCESS") == len(good))
        eventually(lambda: len(delays()) >= 6)
    first, *_, last = delays()[:6]
    assert 0 < first <= 0.01
    assert 0.1 <= last <= 0.2


def test_giving_back_insists_while_the_service_is_away(service: FakeService, outbox: Outbox) -> None:
    service.add("working", number=0, max_retries=0)
    service.garble(changed(attempt=None))
    service.fail("/v2/tasks/set", httpx.ReadError("cut off"), problem(503, "no database"))
    with service.worker(outbox):
        service.wait_for("SUCCESS")
    assert service.attempts() == [1]


def test_one_that_is_refused_does_not_hold_up_the_others_and_is_told(service: FakeService, outbox: Outbox) -> None:
    signals = Signals()
    for number in range(2):
        service.add("working", number=number, max_retries=0)
    service.garble(changed(attempt=None))
    service.fail("/v2/tasks/set", *[problem(422, "not this one")] * 2)
    with service.worker(outbox, signals):
        eventually(lambda: sorted(service.statuses()) == ["PROCESSING", "SUCCESS"])

    assert any("could not be given back" in str(event.error) for event in signals.of(StepFailed))


def test_an_answer_that_comes_while_the_worker_waits_for_its_handlers_is_given_back_at_once(
    service: FakeService,
) -> None:
    outbox, begun, released, signals = small_outbox(), threading.Event(), threading.Event(), Signals()

    @outbox.task(concurrency=1)
    def busy() -> None:
        begun.set()
        released.wait(60)

    outbox.task("late", max_retries=0)(lambda: None)
    service.most_wait_seconds = 30.0
    service.add("busy")
    worker = service.worker(outbox, signals, wait_seconds=30.0, stop_timeout_seconds=60.0)
    worker.start()
    assert begun.wait(60)
    eventually(lambda: any(set(body["limits"]) == {"late"} for body in service.sent("/v2/tasks/hold")))
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    source = worker._parts.source
    assert isinstance(source, HttpClaims)
    eventually(lambda: source._is_stopping)
    service.add("late")
    eventually(lambda: told(signals) == 1)
    assert not released.is_set()  # the stop still waits for the handler
    assert stopping.is_alive()
    assert service.statuses() == ["PROCESSING", "PENDING"]
    assert service.attempts() == [1, 0]
    released.set()
    stopping.join(60)
    assert service.statuses() == ["SUCCESS", "PENDING"]


def test_an_answer_that_comes_after_the_worker_has_stopped_is_given_back(service: FakeService, outbox: Outbox) -> None:
    signals, held, free = Signals(), threading.Event(), threading.Event()

    def delay(content: bytes) -> bytes:
        held.set()
        free.wait(60)
        return content

    service.add("working", number=0, max_retries=0)
    service.garble(delay)
    worker = service.worker(outbox, signals, stop_timeout_seconds=0.5)
    worker.start()
    assert held.wait(60)
    worker.stop()
    assert service.statuses() == ["PROCESSING"]
    free.set()

    service.wait_for("PENDING")
    assert service.attempts() == [0]
    eventually(lambda: told(signals) == 1)
    assert not signals.of(SettleFenced)
    eventually(lambda: worker._client._link._client.is_closed)
