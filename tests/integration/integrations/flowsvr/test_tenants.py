"""Tokens that are bound to task types, and idempotency keys that belong to who made them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import pytest

from asyncflow.integrations.flowsvr import Token, Tokens
from tests.integration.integrations.flowsvr.conftest import TOKENS, Service

Make = Callable[..., Service]
PATTERNS = {"mails": "mail*", "shop": "shop.*", "all": "*"}
SECRET = "a-secret-of-{}-in-the-shop"
BOUND = Tokens(
    [
        *TOKENS._tokens,
        *(
            Token.of(name, SECRET.format(name), "producer", "worker", task_types=[pattern])
            for name, pattern in PATTERNS.items()
        ),
    ]
)


TOLD = count()


@dataclass(repr=False)
class Parcel:
    """Be told in another way each time, as a set is in each process."""

    weight: int

    def __repr__(self) -> str:
        return f"parcel {next(TOLD)}"


class Tenant:
    """Call a service as one tenant."""

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._headers = {"Authorization": f"Bearer {SECRET.format(name)}"}

    async def __call__(self, method: str, path: str, json: Any = None) -> httpx.Response:
        return await self._service.client.request(method, path, json=json, headers=self._headers)


@pytest.fixture
async def shop(alone: Make) -> Service:
    """Give a service with the types ``mail`` and ``shop.order``, and a task of each."""
    service = alone(tokens=BOUND)
    service.application.outbox.task("shop.order")
    await service.create("mail", arguments={"to": "a"}, key="k")
    await service.create("shop.order", arguments={"card": "secret"}, key="k")
    return service


async def test_a_tenant_neither_makes_nor_takes_tasks_of_another(shop: Service) -> None:
    tenant = Tenant(shop, "mails")
    order = {"task_type": "shop.order"}
    refused = [
        await tenant("POST", "/v2/tasks", order),
        await tenant("POST", "/v2/tasks/bulk", {**order, "tasks": [{}]}),
        await tenant("POST", "/v2/tasks/hold", {"worker": "w", "limits": {"mail": 1, "shop.order": 1}}),
        await tenant("POST", "/v1/create_task", {"task_data": order}),
        await tenant("POST", "/v1/hold_tasks", order),
    ]
    assert [reply.status_code for reply in refused] == [403] * 5
    assert len(shop.application.statuses()) == 2
    (held,) = (await tenant("POST", "/v2/tasks/hold", {"worker": "w", "limits": {"mail": 9}})).json()["tasks"]
    assert held["task_type"] == "mail"


async def test_a_tenant_sees_nothing_of_another(shop: Service) -> None:
    tenant = Tenant(shop, "mails")
    listed = (await shop.admin("GET", "/v2/tasks")).json()["tasks"]
    (order,) = [task["id"] for task in listed if task["task_type"] == "shop.order"]
    assert (await tenant("GET", f"/v2/tasks/{order}")).status_code == 404
    assert (await tenant("GET", f"/v1/get_task?task_id={order}")).status_code == 404
    for path in (
        "/v2/tasks",
        "/v2/tasks?key=k",
        "/v2/tasks?task_type=shop.order",
        "/v2/configuration/shop.order",
        "/v1/get_task_list?task_type=shop.order",
        "/v1/get_task_counts_by_type?task_type=shop.order",
    ):
        assert (await tenant("GET", path)).status_code == 403, path
    guess = {"id": order, "token": order, "outcome": "success"}
    told = [
        await tenant("GET", "/v2/tasks?task_type=mail&key=k"),
        await tenant("GET", "/v2/counts"),
        await tenant("GET", "/v2/task-types"),
        await tenant("GET", "/v2/configuration"),
        await tenant("GET", "/v1/get_task_schedule_cfg_list"),
        await tenant("POST", "/v2/tasks/set", {"outcomes": [guess]}),
        await tenant("PUT", f"/v2/tasks/{order}/outcome", {"token": order, "outcome": "success"}),
        await tenant("PUT", f"/v2/tasks/{order}/checkpoint", {"token": order, "stage": "s"}),
        await tenant("POST", "/v1/set_task", {"task_data": {"task_id": f"{order}_{order}", "status": 3}}),
    ]
    assert not [reply.text for reply in told if "shop" in reply.text]
    everything = Tenant(shop, "all")
    assert len((await everything("GET", "/v2/tasks")).json()["tasks"]) == 2
    assert (await everything("GET", f"/v2/tasks/{order}")).json()["arguments"] == {"card": "secret"}


async def test_a_tenant_is_told_the_nearest_of_its_own_types_alone(shop: Service) -> None:
    shop.application.outbox.task("tail")
    tenant, whole = Tenant(shop, "mails"), Tenant(shop, "all")
    for method, path in (("POST", "/v2/tasks"), ("GET", "/v2/configuration/{}")):
        for ask, name, near in ((tenant, "mail.shop.order", False), (tenant, "maill", True), (whole, "tai", True)):
            body = {"task_type": name} if method == "POST" else None
            reply = await ask(method, path.format(name), body)
            assert ("did you mean" in reply.json()["detail"]) == near, reply.text


async def test_an_idempotency_key_is_its_makers_own(service: Service) -> None:
    body = {"task_type": "mail", "idempotency_key": "order-1", "arguments": {"n": 1}}
    replies = [await call("POST", "/v2/tasks", body) for call in (service.producer, service.admin) * 2]
    assert [reply.status_code for reply in replies] == [201, 201, 200, 200]
    first, second, *again = (reply.json()["id"] for reply in replies)
    assert first != second
    assert again == [first, second]


@pytest.mark.parametrize(
    "changed",
    [{"arguments": {"n": 2}}, {"key": "k"}, {"priority": 1}, {"delay_seconds": 5}, {"headers": {"a": "b"}}],
    ids=str,
)
async def test_a_repeated_key_with_another_body_is_refused(service: Service, changed: dict[str, Any]) -> None:
    body = {"task_type": "mail", "idempotency_key": "order-1", "arguments": {"n": 1, "m": 2}}
    assert (await service.producer("POST", "/v2/tasks", body)).status_code == 201
    reply = await service.producer("POST", "/v2/tasks", {**body, **changed})
    assert (reply.status_code, reply.json()["field"]) == (409, "idempotency_key")
    assert (await service.producer("POST", "/v2/tasks", {**body, "arguments": {"m": 2, "n": 1}})).status_code == 200
    bulk = {"task_type": "mail", "tasks": [{}, {"idempotency_key": "order-1", **changed}]}
    assert (await service.producer("POST", "/v2/tasks/bulk", bulk)).status_code == 409
    assert len(service.application.statuses()) == 1


async def test_a_repeated_key_is_known_however_its_arguments_are_told(alone: Make) -> None:
    service = alone()

    @service.application.outbox.task()
    def send(parcel: Parcel) -> None:
        """Take what JSON has no kind for."""

    body = {"task_type": "send", "idempotency_key": "parcel-1", "arguments": {"parcel": {"weight": 2}}}
    replies = [await service.producer("POST", "/v2/tasks", body) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 200]


async def test_in_bulk_keys_lead_to_the_tasks_that_they_made(service: Service) -> None:
    tasks = [{"idempotency_key": f"{n}" * 255, "arguments": {"n": n}} for n in range(3)]
    replies = [
        await service.producer("POST", "/v2/tasks/bulk", {"task_type": "mail", "tasks": given})
        for given in (tasks, [*tasks, {}], [tasks[0], tasks[0]])
    ]
    assert [reply.status_code for reply in replies] == [201] * 3
    first, second, third = (reply.json()["ids"] for reply in replies)
    assert (second[:3], third) == (first, [first[0]] * 2)
    assert len(service.application.statuses()) == 4
