from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from asyncflow import Call
from asyncflow.errors import (
    ClaimLostError,
    InvalidRunAtError,
    OptionError,
    ServiceAwayError,
    ServiceRefusedError,
    UnknownOptionError,
)
from asyncflow.integrations.flowsvr.client import ClientSettings, Outcome, TaskServiceClient
from tests.unit.integrations.flowsvr.client.fake_service import FakeService, problem


class Nowhere(tzinfo):
    """Be a zone that tells no offset: a time with it is naive."""

    def utcoffset(self, _: datetime | None) -> None: ...

    def dst(self, _: datetime | None) -> None: ...

    def tzname(self, _: datetime | None) -> None: ...


def test_a_created_task_carries_all_that_was_given() -> None:
    service = FakeService()
    moment = datetime(2030, 1, 2, tzinfo=timezone.utc)

    created = service.client().create(
        "issue_coupon",
        {"account_no": "A1", "expires": date(2030, 1, 2)},
        key="A1",
        priority=5,
        run_at=moment,
        headers={"trace": "1"},
        max_retries=7,
    )

    (body,) = service.sent("/v2/tasks")
    assert created.created
    assert str(created.id) in service.tasks
    assert body.pop("idempotency_key")
    assert body == {
        "task_type": "issue_coupon",
        "arguments": {"account_no": "A1", "expires": "2030-01-02"},
        "key": "A1",
        "priority": 5,
        "run_at": "2030-01-02T00:00:00+00:00",
        "headers": {"trace": "1"},
        "max_retries": 7,
    }


def test_a_task_is_created_once_although_its_answer_got_lost() -> None:
    service = FakeService()
    client = service.client()
    answer, lost = service.answer, [True]

    def lose_the_first(request: httpx.Request) -> httpx.Response:
        response = answer(request)
        if lost.pop() if lost else False:
            raise httpx.ReadError("cut off", request=request)
        return response

    client._link._client = httpx.Client(base_url="http://service", transport=httpx.MockTransport(lose_the_first))
    client._link._client.headers["authorization"] = "Bearer secret-1"
    created = client.create("issue_coupon", {"account_no": "A1"})

    assert len(service.tasks) == 1
    assert not created.created


def test_many_tasks_are_asked_for_again_only_while_they_cannot_be_there() -> None:
    service = FakeService()
    ids = [str(uuid4()), str(uuid4())]
    service.fail(
        "/v2/tasks/bulk",
        problem(429, "too many", **{"Retry-After": "0"}),
        httpx.ConnectError("nobody listens"),
        httpx.Response(201, json={"ids": ids}),
        httpx.ReadError("cut off"),
    )
    client, calls = service.client(), [Call({"n": 1}, delay_seconds=timedelta(seconds=2)), Call({"n": 2})]

    assert client.create_many("t", calls) == [UUID(one) for one in ids]
    with pytest.raises(ServiceAwayError):
        client.create_many("t", calls)
    sent = service.sent("/v2/tasks/bulk")
    assert len(sent) == 4
    assert sent[0]["tasks"] == [{"arguments": {"n": 1}, "delay_seconds": 2.0}, {"arguments": {"n": 2}}]


class Clock:
    """Be a clock that stands still but for sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_client_gives_up_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    service, clock = FakeService(), Clock()
    service.is_away = True
    monkeypatch.setattr("asyncflow.integrations.flowsvr.client.client.time", clock)

    with pytest.raises(ServiceAwayError, match="does not answer"):
        service.client(retry_for_seconds=0.05).counts()
    assert len(service.requests) > 1
    assert clock.now <= 0.05
    service.requests.clear()
    with pytest.raises(ServiceAwayError):
        service.client(retry_for_seconds=0).counts()
    assert len(service.requests) == 1


def test_retry_after_is_honoured() -> None:
    service = FakeService()
    service.fail("/v2/counts", problem(503, "no database", **{"Retry-After": "60"}))

    with pytest.raises(ServiceAwayError, match="no database") as caught:
        service.client(retry_for_seconds=1).counts()
    assert caught.value.retry_after_seconds == 60
    assert len(service.requests) == 1


def test_what_is_refused_is_not_asked_again() -> None:
    service = FakeService()
    service.fail("/v2/tasks", problem(422, "priority is -1"))

    with pytest.raises(ServiceRefusedError, match="priority is -1: so says the test") as caught:
        service.client().create("t", {})
    assert caught.value.status == 422
    with pytest.raises(ServiceRefusedError, match="401"):
        service.client(token="wrong").counts()
    assert len(service.requests) == 2


def test_a_lost_claim_is_told() -> None:
    service = FakeService()
    service.add("t")
    client = service.client()
    (task,) = client.hold("w", {"t": 1}, lease_seconds=5).tasks
    service.take_away()

    assert client.renew([(task.id, task.token)]) == {task.id}
    assert [(one.settled, one.status) for one in client.set([Outcome(task.id, task.token, "success")])] == [
        (False, "PROCESSING")
    ]
    with pytest.raises(ClaimLostError):
        client.set_one(Outcome(task.id, task.token, "success"))
    with pytest.raises(ClaimLostError):
        client.checkpoint(task.id, task.token, "late")


def test_one_outcome_is_set_by_itself() -> None:
    service = FakeService()
    service.add("t")
    client = service.client()
    (task,) = client.hold("w", {"t": 1}).tasks

    assert client.set_one(Outcome(task.id, task.token, "failed", error="no")) == "FAILED"


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        (lambda c: c.register("a/b", max_retries=2), "PUT", "/v2/task-types/a/b", {"max_retries": 2}),
        (lambda c: c.task_types(), "GET", "/v2/task-types", {}),
        (lambda c: c.configuration(), "GET", "/v2/configuration", {}),
        (lambda c: c.configuration("t"), "GET", "/v2/configuration/t", {}),
        (lambda c: c.configure("t", enabled=False), "PUT", "/v2/configuration/t", {"enabled": False}),
        (lambda c: c.get("abc"), "GET", "/v2/tasks/abc", {}),
        (lambda c: c.counts(), "GET", "/v2/counts", {}),
        (lambda c: c.dead_letters(task_type="t", key=None), "GET", "/v2/dead-letters", {"task_type": "t"}),
    ],
)
def test_each_request_is_that_of_the_contract(call: Any, method: str, path: str, body: Any) -> None:
    service = FakeService()
    assert call(service.client()) == {"method": method, "path": path, "body": body}


def test_a_list_goes_on_page_after_page() -> None:
    service = FakeService()
    pages = [{"tasks": [{"id": 1}, {"id": 2}], "next": "c1"}, {"tasks": [{"id": 3}], "next": None}]
    service.fail("/v2/tasks", *(httpx.Response(200, json=page) for page in pages))

    assert [task["id"] for task in service.client().list_all(status="FAILED", limit=2)] == [1, 2, 3]
    assert service.sent("/v2/tasks") == [
        {"status": "FAILED", "limit": "2"},
        {"status": "FAILED", "limit": "2", "cursor": "c1"},
    ]


def test_dead_letters_are_counted_and_not_asked_for_twice() -> None:
    service = FakeService()
    for verb in ("replay", "cancel", "discard"):
        service.fail(f"/v2/dead-letters/{verb}", httpx.Response(200, json={"count": 4}), httpx.ReadError("cut off"))
    with service.client() as client:
        for ask in (client.replay, client.cancel, client.discard):
            assert ask(task_type="t") == 4
            with pytest.raises(ServiceAwayError):
                ask(task_type="t")
        assert client.is_ready()
        client.forget_configuration("t")
        service.is_away = True
        assert not client.is_ready()


def test_an_answer_that_is_no_json_is_told() -> None:
    service = FakeService()
    service.fail("/v2/counts", httpx.Response(200, text="<html>a proxy</html>"))

    with pytest.raises(ServiceAwayError, match="no JSON"):
        service.client(retry_for_seconds=0).counts()


def test_a_naive_moment_is_refused_before_anything_is_sent() -> None:
    service = FakeService()
    for zone in (None, Nowhere()):
        with pytest.raises(InvalidRunAtError):
            service.client().create("t", {}, run_at=datetime(2030, 1, 1, tzinfo=zone))
    assert service.requests == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"server": "localhost:8000"}, "server"),
        ({"server": 7}, "server"),
        ({"token": "ä"}, "token"),
        ({"token": " "}, "token"),
        ({"name": ""}, "name"),
        ({"wait_seconds": 31}, "wait_seconds"),
        ({"wait_seconds": -1}, "wait_seconds"),
        ({"retry_for_seconds": -1}, "retry_for_seconds"),
        ({"claim_lease_seconds": 0}, "claim_lease_seconds"),
        ({"request_timeout_seconds": "10"}, "request_timeout_seconds"),
        ({"settle_batch": 0}, "settle_batch"),
    ],
)
def test_settings_out_of_bounds_are_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named) as caught:
        ClientSettings.of(**{"server": "http://service", **options})
    assert "ä" not in str(caught.value)


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownOptionError, match="wait_seconds"):
        TaskServiceClient("http://service", wait_second=3)
    assert "secret" not in repr(ClientSettings(server="http://service", token="secret"))


def test_a_key_that_stands_for_another_task_is_no_lost_claim() -> None:
    service = FakeService()
    service.answer = lambda request: problem(409, "idempotency_key was used for another task")  # type: ignore[method-assign]
    with pytest.raises(ServiceRefusedError) as raised:
        service.client().create("mail", idempotency_key="k")
    assert (raised.value.status, "another task" in str(raised.value)) == (409, True)


def test_a_body_that_came_too_slowly_is_sent_again() -> None:
    service = FakeService()
    answer, slow = service.answer, [True]

    def answer_the_second(request: httpx.Request) -> httpx.Response:
        return problem(408, "the body did not come in time") if slow and slow.pop() else answer(request)

    service.answer = answer_the_second  # type: ignore[method-assign]
    assert service.client().create("mail").created


def test_a_list_that_leaves_out_a_database_does_not_end_as_if_it_were_whole() -> None:
    pages = {
        None: {"tasks": [{"id": "a"}], "next": "db1:", "away": ["db0"]},
        "db1:": {"tasks": [{"id": "b"}], "next": None},
    }
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=pages[request.url.params.get("cursor")]))
    with TaskServiceClient("http://service", token="secret-1", transport=transport) as client:
        listed = client.list_all()
        assert [next(listed)["id"], next(listed)["id"]] == ["a", "b"]
        with pytest.raises(ServiceAwayError, match="without the tasks of db0: away"):
            next(listed)
