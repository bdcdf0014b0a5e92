"""Encrypted arguments at the service: in the clear for who holds a task, and for nobody who looks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select

from asyncflow import Status
from asyncflow.integrations.encryption import AesGcm, make_key
from tests.integration.integrations.flowsvr.conftest import Service
from tests.integration.integrations.flowsvr.test_workers import serving, worker
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

SECRET = "no-row-may-hold-this"


@pytest.fixture
def keys() -> dict[str, bytes | str]:
    return {"k1": make_key(), "t1": make_key()}


@pytest.fixture
def closed(engine: Engine, keys: dict[str, bytes | str]) -> Application:
    """Give an application that encrypts, by the key that the tenant's header names."""
    cipher = AesGcm(keys, lambda facts: facts.headers.get("tenant", "k1"), digest_secret=b"s" * 16)
    application = Application(engine, encryption=cipher)
    application.outbox.task("mail", max_retries=2, retry_interval_seconds=5)
    return application


@pytest.fixture
async def service(closed: Application) -> AsyncIterator[Service]:
    made = Service(closed)
    yield made
    await made.close()


def texts(application: Application) -> str:
    tables = application.Base.metadata.tables.values()
    rows = [row for table in tables for row in application.rows(select(table))]
    return "\n".join(
        one.decode(errors="replace") if isinstance(one, bytes) else str(one) for row in rows for one in row
    )


async def test_who_holds_a_task_gets_its_arguments_and_who_looks_does_not(
    service: Service, closed: Application
) -> None:
    task_id = await service.create(arguments={"text": SECRET}, headers={"own": "x"}, key="A1")
    assert SECRET not in texts(closed)
    looked = await service.state(task_id)
    assert (looked["arguments"], looked["encrypted"], looked["headers"]) == (None, True, {"own": "x"})
    (task,) = await service.hold()
    assert (task["arguments"], task["headers"], task["attempt"]) == ({"text": SECRET}, {"own": "x"}, 1)
    assert (await service.set(task, "failed", error="it broke")).status_code == 200
    letter = (await service.admin("GET", f"/v2/dead-letters/{task_id}")).json()
    assert (letter["arguments"], letter["encrypted"]) == (None, True)
    assert SECRET not in texts(closed)


async def test_a_task_whose_key_is_gone_fails_at_once_and_the_others_are_given_out(
    service: Service, closed: Application, keys: dict[str, bytes | str]
) -> None:
    lost = await service.create(arguments={"text": "1"}, headers={"tenant": "t1"})
    await service.create(arguments={"text": "2"})
    del keys["t1"]
    assert [task["arguments"] for task in await service.hold()] == [{"text": "2"}]
    state = await service.state(lost)
    assert state["status"] == "FAILED"
    assert "the key 't1' is gone" in state["log"][0]


async def test_a_service_without_keys_hands_out_nothing_that_it_cannot_read(
    service: Service, closed: Application
) -> None:
    task_id = await service.create(arguments={"text": SECRET})
    keyless = Application(closed.engine, has_tables=True)
    keyless.outbox.task("mail", max_retries=2, retry_interval_seconds=5)
    other = Service(keyless)
    try:
        assert await other.hold() == []
        state = await other.state(task_id)
    finally:
        await other.close()
    assert (state["status"], state["retry_count"]) == ("PENDING", 1)
    assert "this process has no encryption" in state["log"][0]


async def test_a_repeated_key_is_told_from_one_with_another_body(service: Service, closed: Application) -> None:
    body = {"task_type": "mail", "arguments": {"text": SECRET}, "idempotency_key": "once"}
    first = await service.producer("POST", "/v2/tasks", body)
    again = await service.producer("POST", "/v2/tasks", body)
    other = await service.producer("POST", "/v2/tasks", {**body, "arguments": {"text": "another"}})
    assert (first.json()["id"], other.status_code) == (again.json()["id"], 409)
    assert len(closed.rows()) == 1


async def test_the_originals_routes_take_none_that_they_would_write_in_the_clear(
    service: Service, closed: Application
) -> None:
    task_id = await service.create(arguments={"text": SECRET})
    reply = await service.worker("POST", "/v1/hold_tasks", {"task_type": "mail", "limit": 10})
    assert reply.status_code == 422
    assert "hold them by /v2" in reply.text
    shown = await service.worker("GET", f"/v1/get_task?task_id={task_id}")
    listed = await service.worker("GET", "/v1/get_task_list?task_type=mail")
    assert (shown.status_code, listed.status_code) == (200, 200)
    assert SECRET not in shown.text + listed.text
    assert closed.statuses() == [Status.PENDING]


def test_a_worker_over_http_needs_no_keys(closed: Application) -> None:
    got: list[Any] = []
    elsewhere = Application(closed.engine, has_tables=True)
    elsewhere.outbox.task("mail")(lambda text: got.append(text))
    with closed.session() as session, session.begin():
        task_id: UUID = closed.outbox.enqueue(session, "mail", text=SECRET)
    with serving(closed) as url:
        works = worker(elsewhere, url, None)
        works.start()
        eventually(lambda: closed.statuses() == [Status.SUCCESS])
        works.stop()
    assert got == [SECRET]
    assert [row.id for row in closed.rows()] == [task_id]
    assert SECRET not in texts(closed)
