"""Callers without a secret, known by where they ask from: the original's clients, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from asyncflow.integrations.flowsvr import Token, Tokens
from tests.integration.integrations.flowsvr.conftest import SECRETS, TOKENS, Service

Make = Callable[..., Service]
GO = {"networks": ["10.1.0.0/16", "fd00::/8"], "task_types": ["mail"], "hosts": ["flowsvr.example.org"]}


def with_workers(make: Make, *roles: str, **more: Any) -> Service:
    return make(tokens=Tokens([*TOKENS._tokens, Token.of_networks("go", GO["networks"], *roles, **more)]))


@pytest.fixture
async def service(alone: Make) -> Service:
    more = {"task_types": GO["task_types"], "hosts": GO["hosts"]}
    service = with_workers(alone, "worker", "producer", **more)
    service.application.outbox.task("shop.order")
    return service


async def ask(service: Service, address: str, method: str, path: str, json: Any = None, **headers: str) -> int:
    transport = httpx.ASGITransport(service.app, raise_app_exceptions=False, client=(address, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://flowsvr:8080") as client:
        return (await client.request(method, path, json=json, headers=headers)).status_code


CREATE = ("POST", "/v1/create_task", {"task_data": {"task_type": "mail"}})
HOLD = ("POST", "/v1/hold_tasks", {"task_type": "mail", "limit": 10})


async def test_the_originals_clients_work_without_a_token_where_their_network_is_named(service: Service) -> None:
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        assert await ask(service, address, *CREATE) == 200
        assert await ask(service, address, *HOLD) == 200
    assert service.application.statuses() == [1, 1, 1]
    for host in ("10.1.0.9:8080", "localhost", "[fd00::2]:80", "flowsvr", "FlowSvr.example.org:80"):
        assert await ask(service, "10.1.2.3", *HOLD, Host=host) == 200


async def test_whoever_is_elsewhere_or_may_ask_for_another_is_a_stranger(service: Service) -> None:
    assert await ask(service, "10.1.2.3", *HOLD) == 200
    for address in ("10.2.0.1", "127.0.0.1", "::1", "fe80::1", "testclient", "::ffff:10.2.0.1"):
        assert await ask(service, address, *HOLD) == 401, address
    for headers in (
        {"Origin": "http://flowsvr:8080"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Referer": "http://evil.example/"},
        {"X-Forwarded-For": "10.1.2.3"},
        {"Forwarded": "for=10.1.2.3"},
        {"Via": "1.1 proxy"},
        {"Host": "evil.example"},
        {"Host": "10.1.0.9.evil.example"},
        {"Host": "example.org"},
        {"Host": ""},
        {"Host": "["},
        {"Authorization": ""},
        {"Authorization": "Bearer not-a-known-token"},
    ):
        assert await ask(service, "10.1.2.3", *HOLD, **headers) == 401, headers
    assert await ask(service, "10.2.0.1", *HOLD, Authorization=f"Bearer {SECRETS['worker']}") == 200


async def test_only_the_originals_routes_are_open_to_it_within_its_role_and_types(service: Service) -> None:
    for method, path, body in (
        ("POST", "/v2/tasks", {"task_type": "mail"}),
        ("POST", "/v2/tasks/hold", {"worker": "w", "limits": {"mail": 1}}),
        ("GET", "/v2/tasks?task_type=mail", None),
        ("GET", "/v2/counts", None),
        ("POST", "/v2/dead-letters/replay", {"everything": True}),
        ("GET", "/v2/..%2fv1/get_task_list?task_type=mail", None),
    ):
        assert await ask(service, "10.1.2.3", method, path, body) in (401, 404), path
        assert await ask(service, "10.1.2.3", method, path, body, Host="a/v1/b") in (401, 404), path
    assert await ask(service, "10.1.2.3", "POST", "/v1/register_task", {"task_type": "new"}) == 403
    assert await ask(service, "10.1.2.3", "POST", "/v1/hold_tasks", {"task_type": "shop.order"}) == 403
    assert service.application.statuses() == []


async def test_a_worker_by_its_network_is_no_producer(alone: Make) -> None:
    service = with_workers(alone, "worker")
    assert [await ask(service, "10.1.2.3", *one) for one in (CREATE, HOLD)] == [403, 200]


async def test_a_service_that_names_no_network_is_closed(alone: Make) -> None:
    service = alone()
    for address in ("127.0.0.1", "::1", "10.1.2.3"):
        assert await ask(service, address, *HOLD) == 401
