"""Tokens that are bound to task types, and idempotency keys that belong to who made them."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import literal_column, select, update

from asyncflow import Status
from asyncflow.integrations.flowsvr import Token, Tokens
from asyncflow.outbox.look_up import key_rows
from asyncflow.scheduler.table.claim_owner import HEARD
from tests.integration.integrations.flowsvr.conftest import SECRETS, TOKENS, Service

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


async def _rows_when_heard(shop: Service) -> list[Any]:
    """Return the rows once that of the claim says that its worker has it: that is written a moment after the answer."""
    until = time.monotonic() + 60
    while not any((row.owner or "").startswith(HEARD) for row in shop.application.rows()):
        assert time.monotonic() < until
        await asyncio.sleep(0.02)
    return shop.application.rows()


async def test_a_claim_on_a_task_of_another_is_none_though_its_token_be_known(shop: Service) -> None:
    (held,) = await shop.hold("shop.order")
    before = await _rows_when_heard(shop)
    tenant, claim = Tenant(shop, "mails"), {"id": held["id"], "token": held["token"]}
    told = [
        await tenant("POST", "/v2/tasks/set", {"outcomes": [{**claim, "outcome": "success"}]}),
        await tenant("POST", "/v2/tasks/renew", {"claims": [claim], "lease_seconds": 3000}),
        await tenant("PUT", f"/v2/tasks/{held['id']}/outcome", {"token": held["token"], "outcome": "failed"}),
        await tenant("PUT", f"/v2/tasks/{held['id']}/checkpoint", {"token": held["token"], "stage": "s"}),
        await tenant("POST", "/v1/set_task", {"task_data": {"task_id": f"{held['id']}_{held['token']}", "status": 3}}),
    ]
    assert [reply.status_code for reply in told] == [200, 200, 409, 409, 409]
    assert told[0].json()["results"] == [{"status": None, "id": held["id"], "settled": False}]
    assert told[1].json() == {"lost": [held["id"]]}
    assert not [reply.text for reply in told if "shop" in reply.text]
    assert shop.application.rows() == before
    own = Tenant(shop, "shop")
    assert (await own("POST", "/v2/tasks/renew", {"claims": [claim]})).json() == {"lost": []}
    reply = await own("POST", "/v2/tasks/set", {"outcomes": [{**claim, "outcome": "success"}]})
    assert reply.json()["results"][0]["settled"]


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


async def test_a_unique_key_is_its_makers_own(service: Service) -> None:
    body = {"task_type": "mail", "unique_key": "A" * 255}
    replies = [await call("POST", "/v2/tasks", body) for call in (service.producer, service.admin) * 2]
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


def decoded(cursor: str) -> str:
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()


@pytest.mark.parametrize("moments", [1, 4, 40])
async def test_no_cursor_names_a_task_of_another_and_each_page_goes_on(
    shop: Service, moments: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rows, "MOST_EXAMINED", 5)
    monkeypatch.setattr(key_rows, "_AT_ONCE", 2)
    tasks = shop.application.outbox.tasks
    for task_type in ["shop.order"] * 9 + ["mail"] * 3 + ["shop.order"] * 14 + ["mail"] + ["shop.order"] * 13:
        await shop.create(task_type, key="many")
    with shop.application.engine.begin() as connection:
        rows = connection.execute(select(tasks.c.id).where(tasks.c.task_key == "many").order_by(tasks.c.id)).all()
        for number, row in enumerate(rows):
            text = f"2026-01-01 00:00:{number % moments:02}.000000"
            connection.execute(update(tasks).where(tasks.c.id == row.id).values(created_at=literal_column(f"'{text}'")))
    tenant = Tenant(shop, "mails")
    own = {str(row.id) for row in shop.application.rows() if row.task_key == "many" and row.task_type == "mail"}
    foreign = {str(row.id) for row in shop.application.rows()} - own
    found, cursor, pages = list[str](), "", 0
    while cursor is not None:
        page = (
            await tenant("GET", f"/v2/tasks?limit=2&task_type=mail&key=many{cursor and f'&cursor={cursor}'}")
        ).json()
        found, cursor, pages = [*found, *(task["id"] for task in page["tasks"])], page["next"], pages + 1
        assert not cursor or not [task_id for task_id in foreign if task_id in decoded(cursor)]
    assert sorted(found) == sorted(own)
    assert pages > 2 or moments == 1


async def test_a_cursor_goes_on_with_the_list_of_one_caller_alone(shop: Service) -> None:
    for _ in range(3):
        await shop.create("mail", key="k")
    mails, everything = Tenant(shop, "mails"), Tenant(shop, "all")
    lists = ["task_type=mail", "task_type=mail&key=k", "task_type=mail&status=PENDING"]
    cursors = [(await mails("GET", f"/v2/tasks?limit=1&{one}")).json()["next"] for one in lists]
    for asked in (mails, everything):
        for one in lists:
            for made_of, cursor in zip(lists, cursors, strict=True):
                reply = await asked("GET", f"/v2/tasks?{one}&cursor={cursor}")
                is_its = asked is mails and one == made_of
                assert (reply.status_code, reply.json().get("field")) == ((200, None) if is_its else (422, "cursor"))


@pytest.mark.parametrize("task_types", [None, ["shop.*"]], ids=["taken back", "bound to other types"])
async def test_who_may_no_more_holds_nothing_that_comes_while_it_waits(
    alone: Make, tmp_path: Path, task_types: list[str] | None
) -> None:
    secret, file = SECRET.format("leaver"), tmp_path / "tokens.toml"
    producer = f'[[tokens]]\nname = "p"\ntoken = "{SECRETS["producer"]}"\nroles = ["producer"]\n'
    leaver = f'[[tokens]]\nname = "leaver"\ntoken = "{secret}"\nroles = ["worker"]\n'
    file.write_text(producer + leaver)
    tokens = Tokens.from_file(str(file))
    service = alone(tokens=tokens)
    hold = {"worker": "w", "limits": {"mail": 1}, "wait_seconds": 30}
    headers = {"Authorization": f"Bearer {secret}"}
    waiting = asyncio.create_task(service.client.post("/v2/tasks/hold", json=hold, headers=headers))
    while not service.app.state.service.waiting_holds._waiters:
        await asyncio.sleep(0.01)
    file.write_text(producer + (f"{leaver}task_types = {task_types}\n" if task_types else ""))
    tokens.reload()
    await service.create()
    assert (await waiting).json()["tasks"] == []
    assert service.application.statuses() == [Status.PENDING]
