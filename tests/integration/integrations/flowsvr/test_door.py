"""What the service refuses: nothing is written, and the answer tells what is wrong."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import IntegrityError, OperationalError

from asyncflow import Outbox
from asyncflow.integrations.flowsvr import ServiceSettings, Tokens, make_app
from asyncflow.integrations.flowsvr.routes import readiness
from asyncflow.integrations.flowsvr.served_database import ServedDatabase
from tests.integration.integrations.flowsvr.conftest import SECRETS, Service

Make = Callable[..., Service]
ONE = "00000000-0000-7000-8000-000000000001"
CLAIM = {"id": ONE, "token": ONE}


LATE = base64.urlsafe_b64encode(b'[0,"mail",1,"9999-12-31T23:59:59-01:00","%s"]' % ONE.encode()).decode()
LATE_LETTER = base64.urlsafe_b64encode(b'["mail",1,"9999-12-31T23:59:59-01:00","%s"]' % ONE.encode()).decode()


def written(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what services have logged: threads that an earlier test has left may log something, too."""
    return [record for record in caplog.records if record.name.startswith("asyncflow.flowsvr")]


def mail(**fields: Any) -> dict[str, Any]:
    return {"task_type": "mail", **fields}


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/v2/tasks", {"task_type": "mial"}, "did you mean 'mail'"),
        ("POST", "/v2/tasks", {"task_type": 7}, "task_type"),
        ("POST", "/v2/tasks", mail(argument={}), "did you mean 'arguments'"),
        ("POST", "/v2/tasks", mail(arguments=[1]), "arguments"),
        ("POST", "/v2/tasks", mail(key=""), "key"),
        ("POST", "/v2/tasks", mail(key="a\0b"), "key"),
        ("POST", "/v2/tasks", mail(key="k" * 256), "key"),
        ("POST", "/v2/tasks", mail(priority=-1), "priority"),
        ("POST", "/v2/tasks", mail(priority="5"), "priority"),
        ("POST", "/v2/tasks", mail(delay_seconds=-1), "delay_seconds"),
        ("POST", "/v2/tasks", mail(delay_seconds=1, run_at="2030-01-01T00:00:00Z"), "run_at"),
        ("POST", "/v2/tasks", mail(run_at="2030-01-01T00:00:00"), "run_at"),
        ("POST", "/v2/tasks", mail(headers={"content-type": "x"}), "content-type"),
        ("POST", "/v2/tasks", mail(max_retries=-1), "max_retries"),
        ("POST", "/v2/tasks", mail(idempotency_key="x" * 256), "idempotency_key"),
        ("POST", "/v2/tasks", mail(arguments={"n": 2**70}), "payload"),
        ("POST", "/v2/tasks", mail(run_at="9999-12-31T23:59:59-01:00"), "run_at"),
        ("POST", "/v2/tasks", mail(run_at=253402300800), "run_at"),
        ("POST", "/v2/tasks", mail(run_at="1893456000"), "run_at"),
        ("POST", "/v2/tasks", mail(run_at="-1"), "run_at"),
        ("POST", "/v2/tasks", mail(run_at="0001-01-01T00:00:00+01:00"), "run_at"),
        ("POST", "/v2/tasks", mail(key="a\x1bb"), "key"),
        ("POST", "/v2/tasks", {"task_type": "a\0b"}, "task_type"),
        ("POST", "/v2/tasks", mail(headers=dict.fromkeys("abc", 1)), "headers"),
        ("POST", "/v2/tasks", {"x" * 1_000_000: 1}, "there is no field"),
        ("POST", "/v2/tasks/bulk", mail(tasks=[]), "tasks"),
        ("POST", "/v2/tasks/bulk", mail(tasks=[{}] * 50_000), "tasks"),
        ("POST", "/v2/tasks/bulk", mail(tasks=[{}, {"delay_seconds": -1}]), "tasks.1.delay_seconds"),
        ("POST", "/v2/tasks/bulk", mail(tasks=[{}] * 1001), "tasks"),
        ("POST", "/v2/tasks/hold", {"limits": {"mail": 1}}, "worker"),
        ("POST", "/v2/tasks/hold", {"worker": "w\n", "limits": {"mail": 1}}, "worker"),
        ("POST", "/v2/tasks/hold", {"worker": "w", "limits": {}}, "limits"),
        ("POST", "/v2/tasks/hold", {"worker": "w", "limits": {"mail": 0}}, "limits.mail"),
        ("POST", "/v2/tasks/hold", {"worker": "w", "limits": {"mail": 1}, "wait_seconds": 31}, "wait_seconds"),
        ("POST", "/v2/tasks/hold", {"worker": "w", "limits": {"mail": 1}, "lease_seconds": 9999}, "lease_seconds"),
        ("POST", "/v2/tasks/renew", {"claims": [{"id": "x", "token": ONE}]}, "claims.0.id"),
        ("POST", "/v2/tasks/renew", {"claims": [CLAIM, CLAIM]}, "claims"),
        ("POST", "/v2/tasks/set", {"outcomes": [{**CLAIM, "outcome": "done"}]}, "outcomes.0.outcome"),
        ("POST", "/v2/tasks/set", {"outcomes": [{**CLAIM, "outcome": "success"}] * 2}, "outcomes"),
        ("PUT", f"/v2/tasks/{ONE}/outcome", {"token": ONE, "outcome": "retry", "delay_seconds": -1}, "delay_seconds"),
        ("PUT", f"/v2/tasks/{ONE}/checkpoint", {"token": ONE, "stage": "s" * 101}, "stage"),
        ("PUT", f"/v2/tasks/{ONE}/checkpoint", {"token": ONE, "stage": "a\0"}, "stage"),
        ("GET", "/v2/tasks?status=DONE", None, "status"),
        ("GET", "/v2/tasks?cursor=rubbish", None, "cursor"),
        ("GET", "/v2/tasks?cursor=", None, "cursor"),
        ("GET", f"/v2/tasks?cursor={LATE}", None, "cursor"),
        ("GET", f"/v2/dead-letters?cursor={LATE_LETTER}", None, "cursor"),
        ("GET", "/v2/dead-letters?cursor=", None, "cursor"),
        ("GET", "/v2/dead-letters?after=", None, "after"),
        ("GET", "/v2/tasks?statuss=FAILED", None, "did you mean 'status'"),
        ("GET", "/v2/tasks?status=FAILED&status=PENDING", None, "status"),
        ("GET", "/v2/counts?key=k", None, "key"),
        ("GET", "/v2/configuration/a%00b", None, "task_type"),
        ("PUT", "/v2/configuration/a%00b", {}, "task_type"),
        ("DELETE", "/v2/configuration/a%00b", None, "task_type"),
        ("PUT", "/v2/task-types/a%00b", {}, "task_type"),
        ("GET", "/v1/get_task_list?task_type=a%00b", None, "task_type"),
        ("GET", "/v1/get_task_counts_by_type?task_type=a%00b", None, "task_type"),
        ("POST", "/v1/register_task", {"task_type": "a\0b"}, "task_type"),
        ("POST", "/v2/dead-letters/replay", {"task_type": "a\0b"}, "task_type"),
        ("POST", "/v2/dead-letters/replay", {"everything": True, "reason": "a\0b"}, "reason"),
        ("GET", "/v2/tasks?limit=0", None, "limit"),
        ("GET", "/v2/tasks?key=%00", None, "key"),
        ("PUT", "/v2/task-types/%20mail", {}, "task_type"),
        ("PUT", "/v2/task-types/new", {"max_retries": -1}, "max_retries"),
        ("PUT", "/v2/task-types/new", {"max_retry": 1}, "did you mean 'max_retries'"),
        ("PUT", "/v2/configuration/mail", {"limit": 0}, "limit"),
        ("POST", "/v1/create_task", {"task_data": {"task_type": "mail", "priority": -1}}, "task_data.priority"),
        ("POST", "/v1/hold_tasks", {"task_type": "mail", "limit": 2001}, "limit"),
        ("POST", "/v1/set_task", {"task_data": {"task_id": ONE, "status": 3}}, "task_id"),
    ],
)
async def test_bad_input_is_refused_by_name_and_nothing_is_written(
    alone: Make, method: str, path: str, body: Any, field: str
) -> None:
    service = alone()
    reply = await service.admin(method, path, body)
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json"), reply.text
    problem = reply.json()
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert field in problem["detail"] or field == problem.get("field")
    assert service.application.statuses() == []
    assert not {"new", " mail"} & {one["task_type"] for one in (await types_of(service))}


async def types_of(service: Service) -> Any:
    return (await service.admin("GET", "/v2/task-types")).json()["task_types"]


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b'{"task_type": NaN}', b"null", b'"\\ud800"'])
async def test_what_is_no_json_object_is_refused(alone: Make, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {SECRETS['admin']}", "Content-Type": "application/json"}
    reply = await alone().client.post("/v2/tasks", content=body, headers=headers)
    assert reply.status_code in (400, 422)
    assert reply.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body",
    [
        b'{"task_type": "mial", "task_type": "mail"}',
        b'{"task_type": "mail", "arguments": {"a": 1, "b": {"c": 1, "c": 1}}}',
        b'{"task_type": "mail", "arguments": {"\\u0061": 1, "a": 1}}',
        b'{"task_type": "mail", "arguments": {"n": NaN}}',
        b'{"task_type": "mail", "arguments": {"n": -Infinity}}',
    ],
)
async def test_what_two_readers_may_read_in_two_ways_is_refused(alone: Make, body: bytes) -> None:
    service = alone()
    headers = {"Authorization": f"Bearer {SECRETS['admin']}", "Content-Type": "application/json"}
    reply = await service.client.post("/v2/tasks", content=body, headers=headers)
    assert (reply.status_code, "twice" in reply.text or "no JSON" in reply.text) == (422, True), reply.text
    assert service.application.statuses() == []


async def test_a_body_that_is_no_json_names_its_place_and_no_field(alone: Make) -> None:
    headers = {"Authorization": f"Bearer {SECRETS['admin']}", "Content-Type": "application/json"}
    reply = (await alone().client.post("/v2/tasks", content=b'{"task_type": mail}', headers=headers)).json()
    assert (reply["status"], "field" in reply, reply["faults"][0]["field"]) == (422, False, "")
    assert "no JSON at character 14" in reply["detail"]


async def test_a_body_that_is_encoded_is_refused_by_name(alone: Make) -> None:
    for path in ("/v2/tasks", "/v1/create_task"):
        headers = {"Authorization": f"Bearer {SECRETS['admin']}", "Content-Encoding": "gzip"}
        reply = await alone().client.post(path, json=mail(), headers=headers)
        assert (reply.status_code, "gzip" in reply.text) == (415, True)


@pytest.mark.parametrize("host", ["[", "a/v1/b?", "a b", "\\", "x" * 5000])
async def test_no_host_that_a_client_names_confuses_the_service(alone: Make, host: str) -> None:
    service = alone()
    headers = {"Host": host, "Authorization": f"Bearer {SECRETS['admin']}"}
    for path, status, is_original in ((f"/v2/tasks/{ONE}", 404, False), ("/v1/get_task?task_id=x", 422, True)):
        reply = await service.client.get(path, headers=headers)
        assert (reply.status_code, "msg" in reply.json()) == (status, is_original), reply.text
    assert (await service.client.get("/v2/counts", headers={"Host": host})).status_code == 401


async def test_halves_of_surrogate_pairs_are_refused_not_stumbled_over(alone: Make) -> None:
    headers = {"Authorization": f"Bearer {SECRETS['admin']}", "Content-Type": "application/json"}
    for body in (
        '{"task_type": "mail", "key": "\\ud800"}',
        '{"task_type": "mail", "\\ud800": 1}',
        '{"task_type": "mail", "arguments": {"\\ud800": "\\ud800"}}',
        '{"task_type": "\\ud800"}',
    ):
        reply = await alone().client.post("/v2/tasks", content=body, headers=headers)
        assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")


ROLE_OF = {
    ("POST", "/v2/tasks"): "producer",
    ("POST", "/v2/tasks/bulk"): "producer",
    ("POST", "/v2/tasks/hold"): "worker",
    ("POST", "/v2/tasks/renew"): "worker",
    ("POST", "/v2/tasks/set"): "worker",
    ("PUT", f"/v2/tasks/{ONE}/outcome"): "worker",
    ("PUT", f"/v2/tasks/{ONE}/checkpoint"): "worker",
    ("PUT", "/v2/task-types/mail"): "admin",
    ("PUT", "/v2/configuration/mail"): "admin",
    ("DELETE", "/v2/configuration/mail"): "admin",
    ("POST", "/v1/register_task"): "admin",
    ("POST", "/v1/create_task"): "producer",
    ("POST", "/v1/hold_tasks"): "worker",
    ("POST", "/v1/set_task"): "worker",
}


@pytest.mark.parametrize(("method", "path"), ROLE_OF)
async def test_each_route_that_writes_wants_its_role(alone: Make, method: str, path: str) -> None:
    service = alone()
    for role, call in (("producer", service.producer), ("worker", service.worker), ("admin", service.admin)):
        reply = await call(method, path, {})
        assert (reply.status_code == 403) == (role not in (ROLE_OF[method, path], "admin")), role
    reply = await service.client.request(method, path, json={})
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    reply = await service.client.request(method, path, json={}, headers={"Authorization": "Bearer not-a-known-token"})
    assert reply.status_code == 401
    assert service.application.statuses() == []


@pytest.mark.parametrize("path", ["/v2/tasks", "/v2/tasks/bulk", "/v2/tasks/hold", "/v2/dead-letters/replay"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
async def test_only_json_is_taken_for_json(alone: Make, path: str, kind: str | None) -> None:
    headers = {"Authorization": f"Bearer {SECRETS['admin']}"} | ({"Content-Type": kind} if kind else {})
    reply = await alone().client.post(path, content=b'{"task_type": "mail", "tasks": [{}]}', headers=headers)
    assert (reply.status_code, reply.headers["content-type"]) == (415, "application/problem+json")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v2/tasks", "GET, POST"),
        ("GET", "/v2/tasks/bulk", "POST"),
        ("DELETE", "/v2/tasks/hold", "POST"),
        ("PATCH", f"/v2/tasks/{ONE}", "GET"),
        ("GET", f"/v2/tasks/{ONE}/outcome", "PUT"),
        ("POST", "/v2/configuration/mail", "DELETE, GET, PUT"),
        ("GET", "/v2/dead-letters/replay", "POST"),
        ("OPTIONS", "/v2/counts", "GET"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
async def test_a_method_that_is_not_served_is_told_all_that_are(
    alone: Make, method: str, path: str, allowed: str
) -> None:
    reply = await alone().admin(method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_an_unknown_task_type_in_a_path_is_404(alone: Make, method: str) -> None:
    reply = await alone().admin(method, "/v2/configuration/mial", {} if method == "PUT" else None)
    assert (reply.status_code, "did you mean 'mail'" in reply.json()["detail"]) == (404, True)


async def test_every_field_that_a_problem_names_is_one_of_the_route(alone: Make) -> None:
    service = alone()

    @service.application.outbox.task()
    def issue_coupon(account_no: str, day: date = date(2026, 1, 31)) -> None: ...

    many = {"x": 2**70}
    for body, field in (
        (mail(arguments=many), "arguments"),
        (mail(headers={"content-type": "x"}), "headers"),
        ({"task_type": "issue_coupon"}, "arguments.account_no"),
        ({"task_type": "issue_coupon", "arguments": {"account": 1}}, "arguments.account"),
        ({"task_type": "issue_coupon", "arguments": {"account_no": 1}}, "arguments.account_no"),
        ({"task_type": "issue_coupon", "arguments": {"account_no": "A1", "day": "noon"}}, "arguments.day"),
        (mail(run_at="2030-01-01T00:00:00"), "run_at"),
    ):
        reply = await service.producer("POST", "/v2/tasks", body)
        assert (reply.status_code, reply.json()["field"]) == (422, field), reply.text
    reply = await service.producer("POST", "/v2/tasks/bulk", mail(tasks=[{"arguments": many}]))
    assert reply.json()["field"] == "tasks"
    for second, field in (({"account_no": 1}, "account_no"), ({"account_no": "A1", "day": "noon"}, "day")):
        tasks = [{"arguments": {"account_no": "A1"}}, {"arguments": second}]
        reply = await service.producer("POST", "/v2/tasks/bulk", {"task_type": "issue_coupon", "tasks": tasks})
        assert (reply.status_code, reply.json()["field"]) == (422, f"tasks.1.arguments.{field}"), reply.text
    data = {"task_type": "mail", "user_id": " x"}
    reply = await service.producer("POST", "/v1/create_task", {"task_data": data})
    assert reply.json()["field"] == "task_data.user_id"


async def test_what_would_take_a_hundred_times_its_bytes_is_refused_unparsed(alone: Make) -> None:
    service = alone()
    headers = {"Authorization": f"Bearer {SECRETS['admin']}", "Content-Type": "application/json"}
    for text in (b'{"task_type": "mail", "tasks": [' + b"{}," * 400_000 + b"{}]}", b"[" + b"[]," * 400_000 + b"[]]"):
        reply = await service.client.post("/v2/tasks/bulk", content=text, headers=headers)
        assert (reply.status_code, "objects and lists" in reply.text) == (413, True)
    code = {"task_type": "mail", "arguments": {"text": '{[}] "\\' * 100_000}}
    assert (await service.producer("POST", "/v2/tasks", code)).status_code == 201
    data = {"task_type": "mail", "context": f"[{'[],' * 400_000}[]]"}
    assert (await service.producer("POST", "/v1/create_task", {"task_data": data})).status_code == 413


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
async def test_a_body_that_is_no_utf_8_is_refused_and_not_guessed_at(alone: Make, encoding: str) -> None:
    service = alone()
    headers = {"Authorization": f"Bearer {SECRETS['admin']}", "Content-Type": f"application/json; charset={encoding}"}
    body = '{"task_type": "mail", "key": "\u00e4"}'.encode(encoding)
    reply = await service.client.post("/v2/tasks", content=body, headers=headers)
    assert (reply.status_code, "no UTF-8 at byte" in reply.json()["detail"]) == (400, True), reply.text
    assert service.application.statuses() == []


@pytest.mark.parametrize(
    ("value", "told"), [("[" * 50_000 + "]" * 50_000, "nested too deeply"), ("1" * 5000, "too many digits")]
)
async def test_what_python_does_not_read_is_refused_by_name(alone: Make, value: str, told: str) -> None:
    headers = {"Authorization": f"Bearer {SECRETS['admin']}", "Content-Type": "application/json"}
    body = f'{{"task_type": "mail", "arguments": {{"x": {value}}}}}'
    reply = await alone().client.post("/v2/tasks", content=body, headers=headers)
    assert (reply.status_code, told in reply.json()["detail"]) == (422, True), reply.text


async def test_an_unknown_sql_error_is_logged_without_its_parameters_and_escaped(
    alone: Make, caplog: pytest.LogCaptureFixture
) -> None:
    service = alone()

    def fail(_: Any) -> None:
        raise IntegrityError("INSERT INTO x VALUES (?)", ["the-" + "parameter"], RuntimeError("bad\x1b[31m\u202e\x9b"))

    service.app.state.service.view.one = lambda *_, **__: fail(None)
    reply = await service.admin("GET", f"/v2/tasks/{ONE}")
    assert reply.status_code == 500
    told = "".join(record.getMessage() for record in caplog.records if record.name == "asyncflow.flowsvr")
    assert "the-parameter" not in caplog.text + told
    assert "IntegrityError" in told
    assert not {"\x1b", "\u202e", "\x9b"} & set(told)


async def test_large_bodies_wait_for_no_one_tokens_bytes(alone: Make) -> None:
    service = alone(max_body_bytes=200_000, max_bytes_in_flight=300_000)
    headers = {"Content-Type": "application/json"}
    may_end = asyncio.Event()

    async def slowly() -> Any:
        yield b'{"task_type": "mail", "arguments": {"x": "' + b"y" * 199_000
        await may_end.wait()
        yield b'"}}'

    def post(role: str, content: Any) -> Any:
        bearer = {"Authorization": f"Bearer {SECRETS[role]}"}
        return service.client.post("/v2/tasks", content=content, headers={**headers, **bearer})

    bodies = service.app.state.bodies
    slow = asyncio.create_task(post("producer", slowly()))
    with anyio.fail_after(60):
        while not bodies._kept:
            await asyncio.sleep(0.01)
    large = b'{"task_type": "mail", "arguments": {"x": "' + b"y" * 199_000 + b'"}}'
    replies = [
        await post("producer", large),
        await post("producer", b'{"task_type": "mail"}'),
        await post("admin", large),
    ]
    may_end.set()
    assert [reply.status_code for reply in replies] == [503, 201, 201]
    assert (await slow).status_code == 201
    assert not bodies._kept


@pytest.mark.parametrize(
    "path", ["/v2/tasks", "/v2/counts", "/v2/task-types", "/v2/configuration", "/v1/get_task_list"]
)
async def test_reading_wants_any_token(alone: Make, path: str) -> None:
    service = alone()
    assert (await service.client.get(path)).status_code == 401
    assert (await service.worker("GET", path + "?task_type=mail")).status_code == 200


async def test_a_declared_signature_is_checked_and_dates_are_read_from_their_text(alone: Make) -> None:
    service, got = alone(), []

    @service.application.outbox.task()
    def issue_coupon(account_no: str, expires: date, amount: int = 5) -> None:
        got.append((account_no, expires, amount))

    for arguments, named in (
        ({"account_no": "A1"}, "expires"),
        ({"account_no": "A1", "expires": "tomorrow"}, "expires"),
        ({"account_no": 1, "expires": "2030-01-02"}, "account_no"),
        ({"account_no": "A1", "expires": "2030-01-02", "amonut": 1}, "did you mean 'amount'"),
    ):
        reply = await service.producer("POST", "/v2/tasks", {"task_type": "issue_coupon", "arguments": arguments})
        assert (reply.status_code, named in reply.json()["detail"]) == (422, True), reply.text
    assert service.application.statuses() == []
    await service.create("issue_coupon", arguments={"account_no": "A1", "expires": "2030-01-02"})
    await asyncio.to_thread(service.application.scheduler().drain)
    assert got == [("A1", date(2030, 1, 2), 5)]


async def test_a_body_beyond_the_limit_is_refused_declared_or_not(alone: Make) -> None:
    service = alone(max_body_bytes=2000)
    headers = {"Authorization": f"Bearer {SECRETS['admin']}", "Content-Type": "application/json"}
    body = b'{"task_type": "mail", "arguments": {"x": "' + b"y" * 3000 + b'"}}'

    async def in_parts() -> Any:
        for start in range(0, len(body), 500):
            yield body[start : start + 500]

    for content in (body, in_parts()):
        reply = await service.client.post("/v2/tasks", content=content, headers=headers)
        assert (reply.status_code, reply.headers["content-type"]) == (413, "application/problem+json")
    assert (await service.admin("POST", "/v2/tasks", mail(arguments={"x": "y" * 1000}))).status_code == 201


async def test_a_payload_beyond_the_outboxs_limit_is_refused(alone: Make) -> None:
    reply = await alone().admin("POST", "/v2/tasks", mail(arguments={"x": "y" * 1_100_000}))
    assert (reply.status_code, "limit" in reply.json()["detail"]) == (413, True)


async def test_one_token_that_asks_too_often_waits_and_the_others_do_not(alone: Make) -> None:
    service = alone(rate_limit_per_second=2)
    for _ in range(1000):
        limited = await service.producer("GET", "/v2/counts")
        if limited.status_code == 429:
            break
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "1")
    assert (await service.worker("GET", "/v2/counts")).status_code == 200


async def test_a_dead_database_is_503_for_all_but_the_health_check(caplog: pytest.LogCaptureFixture) -> None:
    from sqlalchemy import MetaData

    url = "postgresql+psycopg://user:the-password@127.0.0.1:1/none?connect_timeout=1"
    outbox = Outbox(MetaData())
    outbox.task("mail")
    app = make_app(create_engine(url), outbox, Tokens.none(), ServiceSettings())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        assert (await client.get("/healthz")).status_code == 200
        bodies = {"/v2/tasks": mail(), "/v2/tasks/hold": {"worker": "w", "limits": {"mail": 1}, "wait_seconds": 5}}
        replies = [await client.get(path) for path in ("/readyz", "/v2/counts", "/v2/tasks", f"/v2/tasks/{uuid4()}")]
        replies += [await client.post(path, json=body) for path, body in bodies.items()]
    assert [reply.status_code for reply in replies] == [503] * 6
    assert {reply.headers["content-type"] for reply in replies} == {"application/problem+json"}
    assert "the-password" not in caplog.text + "".join(reply.text for reply in replies)


async def test_missing_tables_make_the_service_not_ready(sqlite_engine: Any) -> None:
    from sqlalchemy import MetaData

    app = make_app(sqlite_engine, Outbox(MetaData()), Tokens.none())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        reply = await client.get("/readyz")
        assert (reply.status_code, "init-db" in reply.json()["detail"]) == (503, True)


@pytest.mark.parametrize("has_tables", [True, False], ids=["ready", "not ready"])
async def test_whoever_asks_for_readiness_in_one_second_has_one_answer_of_one_look(
    alone: Make, has_tables: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, service = list[ServedDatabase](), alone()
    require = ServedDatabase.require

    def look(one: ServedDatabase) -> None:
        looks.append(one)
        require(one)

    monkeypatch.setattr(ServedDatabase, "require", look)
    monkeypatch.setattr(readiness, "_KEPT_SECONDS", 60.0)
    if not has_tables:
        service.application.outbox.tasks.metadata.drop_all(service.application.engine)
    replies = await asyncio.gather(*(service.client.get("/readyz") for _ in range(20)))
    replies.append(await service.client.get("/readyz"))
    assert {reply.status_code for reply in replies} == {200 if has_tables else 503}
    assert len({reply.text for reply in replies}) == 1
    assert len(looks) == 1
    assert sum(record.levelno == logging.ERROR for record in written(caplog)) == (0 if has_tables else 1)


async def test_of_a_trouble_that_lasts_the_log_has_one_line_however_many_ask(
    alone: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "asyncflow.flowsvr")
    monkeypatch.setattr(readiness, "_KEPT_SECONDS", -1.0)
    service = alone()

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("SELECT 1", {}, RuntimeError("the server has gone away"))

    service.app.state.service.claims.heads = service.app.state.service.view.one = fail
    for _ in range(5):
        assert (await service.client.get("/readyz")).status_code == 503
        assert (await service.worker("GET", f"/v2/tasks/{ONE}")).status_code == 503
    assert [record.getMessage() for record in written(caplog) if record.levelno >= logging.WARNING] == [
        "GET /readyz: OperationalError: the server has gone away"
    ]
    lines = [record.getMessage() for record in caplog.records if record.name == "asyncflow.flowsvr"]
    assert sum("readyz" in line for line in lines) == 1


async def test_a_service_whose_threads_are_all_at_work_says_so(alone: Make) -> None:
    service = alone(threads=1, busy_timeout_seconds=0.1)
    databases = service.app.state.service.databases
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    busy = asyncio.create_task(databases.run(lambda _: asyncio.run_coroutine_threadsafe(release.wait(), loop).result()))
    await asyncio.sleep(0)
    reply = await service.producer("GET", "/v2/counts")
    release.set()
    await busy
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")


async def test_no_secret_is_ever_logged(alone: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    service = alone()
    await service.create()
    await service.producer("PUT", "/v2/task-types/mail", {})
    told = [record.getMessage() for record in caplog.records if record.name == "asyncflow.flowsvr"]
    assert any("POST /v2/tasks 201 producer" in line for line in told)
    assert not any(secret in caplog.text for secret in SECRETS.values())


async def test_strangers_do_not_fill_the_log_whatever_they_ask_for(
    alone: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "asyncflow.flowsvr")
    service = alone()
    asked = [("GET", "/none"), ("POST", "/healthz"), ("GET", "/v1/ping"), ("GET", "/docs"), ("GET", "/openapi.json")]
    for method, path in asked:
        assert (await service.client.request(method, path)).status_code in (200, 404, 405)
    assert written(caplog) == []
    await service.producer("GET", "/v2/counts")
    assert [record.levelno for record in caplog.records if record.name == "asyncflow.flowsvr"] == [logging.INFO]


async def test_an_unknown_task_is_404_and_an_unknown_claim_409(alone: Make) -> None:
    service = alone()
    assert (await service.worker("GET", f"/v2/tasks/{UUID(int=7)}")).status_code == 404
    assert (await service.set({"id": ONE, "token": ONE}, "success")).status_code == 409
    body = {"token": ONE, "stage": "s"}
    assert (await service.worker("PUT", f"/v2/tasks/{ONE}/checkpoint", body)).status_code == 409
    assert (await service.worker("POST", "/v2/tasks/renew", {"claims": [CLAIM]})).json() == {"lost": [ONE]}
    assert (await service.worker("GET", "/v2/nothing")).headers["content-type"] == "application/problem+json"


async def test_a_name_in_the_path_that_no_route_takes_is_answered_as_the_document_says(
    alone: Callable[..., Service],
) -> None:
    service = alone()
    routes = {
        (method.upper(), path): route["responses"]
        for path, methods in service.app.openapi()["paths"].items()
        for method, route in methods.items()
        if path.endswith("/{task_type}")
    }
    assert len(routes) >= 4
    for (method, path), documented in routes.items():
        body: Any = {} if method == "PUT" else None
        answer = await service.admin(method, path.replace("{task_type}", "a%0Ab"), body)
        assert str(answer.status_code) in documented, (method, path, answer.text)
