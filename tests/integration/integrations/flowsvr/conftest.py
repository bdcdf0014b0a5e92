"""A task service in this process, reached as over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from asyncflow.integrations.flowsvr import ServiceSettings, Token, Tokens, make_app
from tests.support.application import Application

SECRETS = {role: f"the-secret-of-the-{role}" for role in ("producer", "worker", "admin")}
TOKENS = Tokens([Token.of(role, secret, role) for role, secret in SECRETS.items()])

Open = Callable[..., httpx.AsyncClient]


class Client:
    """Call the service in the name of one role."""

    def __init__(self, client: httpx.AsyncClient, role: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {SECRETS[role]}"}

    async def __call__(self, method: str, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return await self._client.request(method, path, json=json, headers=self._headers, **options)


class Service:
    """Be one replica of the service, with a client for each role."""

    def __init__(self, application: Application, tokens: Tokens = TOKENS, **settings: Any) -> None:
        self.application = application
        self.app = make_app(application.engine, application.outbox, tokens, ServiceSettings.of(**settings))
        self.app.state.service.hooks.add(application.signals)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False), base_url="http://service"
        )
        self.producer, self.worker, self.admin = (Client(self.client, role) for role in SECRETS)

    async def create(self, task_type: str = "mail", **fields: Any) -> str:
        reply = await self.producer("POST", "/v2/tasks", {"task_type": task_type, **fields})
        assert reply.status_code == 201, reply.text
        task_id: str = reply.json()["id"]
        return task_id

    async def hold(self, task_type: str = "mail", most: int = 10, worker: str = "w1", **fields: Any) -> Any:
        body = {"worker": worker, "limits": {task_type: most}, **fields}
        reply = await self.worker("POST", "/v2/tasks/hold", body)
        assert reply.status_code == 200, reply.text
        return reply.json()["tasks"]

    async def set(self, task: Any, outcome: str, **fields: Any) -> httpx.Response:
        body = {"token": task["token"], "outcome": outcome, **fields}
        return await self.worker("PUT", f"/v2/tasks/{task['id']}/outcome", body)

    async def state(self, task_id: str) -> Any:
        return (await self.producer("GET", f"/v2/tasks/{task_id}")).json()

    async def close(self) -> None:
        await self.client.aclose()
        await self.app.state.service.stop()


@pytest.fixture
async def replicas(application: Application) -> AsyncIterator[Callable[..., Service]]:
    """Make replicas of the service over one database, with the type ``mail``; closed with the test."""
    made: list[Service] = []
    application.outbox.task("mail", max_retries=2, retry_interval_seconds=5)

    def make(**options: Any) -> Service:
        made.append(Service(application, **options))
        return made[-1]

    yield make
    for service in made:
        await service.close()


@pytest.fixture
def service(replicas: Callable[..., Service]) -> Service:
    """Give one replica with its defaults."""
    return replicas()


@pytest.fixture
async def alone(sqlite_application: Application) -> AsyncIterator[Callable[..., Service]]:
    """Make replicas on SQLite, for what concerns no database in particular."""
    made: list[Service] = []
    sqlite_application.outbox.task("mail", max_retries=2, retry_interval_seconds=5)

    def make(**options: Any) -> Service:
        made.append(Service(sqlite_application, **options))
        return made[-1]

    yield make
    for service in made:
        await service.close()
