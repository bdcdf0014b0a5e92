"""Tasks over HTTP, from their creation to their outcome, on each database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest

from asyncflow import Status
from tests.acceptance.test_known_defects import let_claims_run_out
from tests.integration.integrations.flowsvr.conftest import Service


async def test_a_task_is_created_held_checkpointed_set_and_shown(service: Service) -> None:
    task_id = await service.create(arguments={"to": "a@b.c", "n": 7}, key="A1", headers={"trace": "x"}, priority=5)
    (task,) = await service.hold()
    token = task.pop("token")
    assert task == {
        "id": task_id,
        "task_type": "mail",
        "key": "A1",
        "arguments": {"to": "a@b.c", "n": 7},
        "headers": {"trace": "x"},
        "attempt": 1,
        "max_retries": 2,
        "stage": None,
        "context": None,
    }
    body = {"token": token, "stage": "sent", "context": {"id": [1, 2]}}
    assert (await service.worker("PUT", f"/v2/tasks/{task_id}/checkpoint", body)).status_code == 200
    state = await service.state(task_id)
    assert (state["status"], state["stage"], state["context"], state["owner"]) == (
        "PROCESSING",
        "sent",
        {"id": [1, 2]},
        "w1",
    )
    reply = await service.set({"id": task_id, "token": token}, "success")
    assert (reply.status_code, reply.json()) == (200, {"id": task_id, "settled": True, "status": "SUCCESS"})
    state = await service.state(task_id)
    assert (state["status"], state["arguments"], state["attempt"]) == ("SUCCESS", {"to": "a@b.c", "n": 7}, 1)
    assert "token" not in str(state)


async def test_a_late_set_changes_nothing_and_tells_the_current_state(service: Service) -> None:
    await service.create()
    (task,) = await service.hold()
    assert (await service.set(task, "retry", delay_seconds=0, error="first")).json()["status"] == "PENDING"
    (again,) = await service.hold(worker="w2")
    late = await service.set(task, "success")
    assert (late.status_code, late.headers["content-type"]) == (409, "application/problem+json")
    assert late.json()["state"]["status"] == "PROCESSING"
    assert late.json()["state"]["owner"] == "w2"
    assert again["attempt"] == 2
    body = {"outcomes": [{"id": task["id"], "token": task["token"], "outcome": "success"}]}
    (result,) = (await service.worker("POST", "/v2/tasks/set", body)).json()["results"]
    assert (result["settled"], result["status"]) == (False, "PROCESSING")


async def test_renewals_keep_claims_and_name_the_lost(service: Service) -> None:
    for _ in range(2):
        await service.create()
    first, second = await service.hold()
    claims = [{"id": first["id"], "token": first["token"]}, {"id": second["id"], "token": str(uuid4())}]
    reply = await service.worker("POST", "/v2/tasks/renew", {"claims": claims, "lease_seconds": 60})
    assert reply.json() == {"lost": [second["id"]]}


@pytest.mark.parametrize(
    ("outcome", "attempts", "statuses"),
    [
        ("retry", [1, 2, 3], ["PENDING", "PENDING", "FAILED"]),
        ("not_done", [1, 1, 1], ["PENDING"] * 3),
        ("given_back", [1, 1, 1], ["PENDING"] * 3),
        ("failed", [1], ["FAILED"]),
        ("cancelled", [1], ["CANCELLED"]),
        ("success", [1], ["SUCCESS"]),
    ],
)
async def test_each_outcome_becomes_what_the_policy_says(
    service: Service, outcome: str, attempts: list[int], statuses: list[str]
) -> None:
    task_id = await service.create()
    got, became = [], []
    for _ in statuses:
        (task,) = await service.hold()
        got.append(task["attempt"])
        became.append((await service.set(task, outcome, error="why")).json()["status"])
        service.application.make_due()
    assert (got, became) == (attempts, statuses)
    log = (await service.state(task_id))["log"]
    assert bool(log) == (outcome != "success")


async def test_two_replicas_that_hold_at_once_get_different_tasks(replicas: object) -> None:
    first, second = replicas(), replicas()  # type: ignore[operator]
    body = {"task_type": "mail", "tasks": [{"arguments": {"n": n}} for n in range(200)]}
    ids = (await first.producer("POST", "/v2/tasks/bulk", body)).json()["ids"]
    held: list[str] = []
    while len(held) < len(ids):
        pages = await asyncio.gather(*(replica.hold(most=7) for replica in (first, second) * 3))
        assert any(pages)
        held += [task["id"] for page in pages for task in page]
    assert sorted(held) == sorted(ids)
    assert service_statuses(first) == [Status.PROCESSING] * 200


def service_statuses(service: Service) -> list[int]:
    return service.application.statuses()


@pytest.mark.parametrize("way", ["retry", "failed", "ran out"])
@pytest.mark.parametrize("max_retries", [0, 2])
async def test_a_dead_letter_has_spent_its_first_attempt_and_all_retries(
    alone: Callable[..., Service], way: str, max_retries: int
) -> None:
    service = alone()
    options = {"max_retries": max_retries, "retry_interval_seconds": 0, "max_retry_interval_seconds": 0}
    assert (await service.admin("PUT", "/v2/task-types/any", options)).status_code == 201
    task_id = await service.create("any")
    attempts = 1 if way == "failed" else max_retries + 1
    for attempt in range(1, attempts + 1):
        (held,) = await service.hold("any")
        assert held["attempt"] == attempt
        if way == "ran out":
            claim = {"id": held["id"], "token": held["token"]}  # which tells that it has arrived
            await service.worker("POST", "/v2/tasks/renew", {"claims": [claim]})
            let_claims_run_out(service.application)
            await asyncio.to_thread(service.app.state.service._monitor.step)
        else:
            assert (await service.set(held, way)).status_code == 200
    state = await service.state(task_id)
    assert (state["status"], state["retry_count"]) == ("FAILED", attempts)
