"""What did not reach its client costs no attempt; what did is one, however soon the client dies of it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import uvicorn
from sqlalchemy import update

from asyncflow import Call, Status
from asyncflow.events import AttemptsRefunded
from asyncflow.integrations.flowsvr import hearing
from asyncflow.scheduler.table.claim_owner import HEARD
from tests.integration.integrations.flowsvr.conftest import SECRETS, Service
from tests.support.application import Application

HOLDS: dict[str, dict[str, Any]] = {
    "/v2/tasks/hold": {"worker": "w1", "limits": {"mail": 10}},
    "/v1/hold_tasks": {"task_type": "mail"},
}


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)  # between two looks


class Serving:
    """Be one replica on a port of the loopback interface; ``claimed`` is called by its thread after each claim."""

    def __init__(self, service: Service) -> None:
        self.service = service.app.state.service
        self.claimed: Callable[[], None] = lambda: None
        hold = self.service.claims.hold

        def claim(*given: Any) -> Any:
            claims = hold(*given)
            if claims:
                self.claimed()
            return claims

        self.service.claims.hold = claim
        config = uvicorn.Config(service.app, port=0, log_level="error", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        eventually(lambda: self.server.started)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]

    def ask(self, path: str, **fields: Any) -> socket.socket:
        body = json.dumps({**HOLDS[path], **fields}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRETS['worker']}\r\n"
        client = socket.create_connection(("127.0.0.1", self.port))
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + kind.encode() + body)
        return client

    def receive(self, path: str) -> bytes:
        """Be a client that takes its whole answer and ends at once, as one whose task kills it."""
        with self.ask(path) as client, client.makefile("rb") as answer:
            length = next(int(line.split(b":")[1]) for line in answer if line.lower().startswith(b"content-length:"))
            while answer.readline().strip():
                pass
            return answer.read(length)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(120)


@pytest.fixture
def serving(application: Application) -> Iterator[Serving]:
    application.outbox.task("mail", max_retries=0)
    made = Serving(Service(application, monitor_interval_seconds=0.1))
    yield made
    made.stop()


def enqueue(application: Application, count: int = 1, size: int = 1) -> None:
    with application.engine.begin() as connection:
        application.outbox.enqueue_many(connection, "mail", [Call({"text": "x" * size})] * count)


def is_unspent(application: Application) -> bool:
    return all((row.status, row.retry_count) == (Status.PENDING, 0) for row in application.rows())


def is_given_back(application: Application) -> bool:
    """Tell whether everything was claimed, and is due again with its attempt."""
    logs = [row.schedule_log or "" for row in application.rows()]
    return is_unspent(application) and all("its worker was gone" in log for log in logs)


@pytest.mark.parametrize("path", HOLDS)
def test_a_client_that_is_gone_while_its_tasks_are_claimed_has_not_received_them(
    application: Application, serving: Serving, path: str
) -> None:
    enqueue(application, 3)
    clients: list[socket.socket] = []
    gone = threading.Event()

    def leave() -> None:
        clients[0].close()
        gone.set()
        time.sleep(0.1)  # for the server to hear of it; the later it does, the less is tested

    asked = threading.Event()
    serving.claimed = lambda: (asked.wait(60), leave())  # type: ignore[assignment, func-returns-value]
    clients.append(serving.ask(path))
    asked.set()
    eventually(gone.is_set)
    eventually(lambda: is_given_back(application))


@pytest.mark.parametrize("path", HOLDS)
def test_a_client_that_is_gone_while_the_answer_is_written_has_not_received_it(
    application: Application, serving: Serving, path: str
) -> None:
    enqueue(application, 10, size=900_000)  # more than sockets hold
    claimed = threading.Event()
    serving.claimed = claimed.set
    client = serving.ask(path)
    assert claimed.wait(60)
    client.recv(1000)
    client.close()
    eventually(lambda: is_given_back(application))


@pytest.mark.parametrize("path", HOLDS)
def test_a_service_that_stops_between_the_claim_and_the_answer_gives_back(
    application: Application, serving: Serving, path: str
) -> None:
    enqueue(application)
    claimed, stopping = threading.Event(), threading.Event()
    serving.claimed = lambda: (claimed.set(), stopping.wait(60))  # type: ignore[assignment, func-returns-value]
    client = serving.ask(path)
    assert claimed.wait(60)
    shut_down, are_cancelled = serving.server.lifespan.shutdown, threading.Event()

    async def told() -> None:
        are_cancelled.set()
        await shut_down()

    serving.server.lifespan.shutdown = told
    serving.server.should_exit = True
    assert are_cancelled.wait(120)  # after its graceful second, in which the request does not end
    stopping.set()
    serving.stop()
    client.close()
    assert is_given_back(application), application.rows()


async def test_an_answer_that_is_received_is_not_given_back(application: Application) -> None:
    application.outbox.task("mail", max_retries=0)
    service = Service(application)
    enqueue(application)
    (task,) = await service.hold()
    assert task["attempt"] == 1
    assert (await service.set(task, "success")).status_code == 200
    await service.close()


def run_out(application: Application) -> None:
    with application.engine.begin() as connection:
        its = application.outbox.tasks.c.status == int(Status.PROCESSING)
        connection.execute(update(application.outbox.tasks).where(its).values(order_time=timedelta(seconds=-1)))


def owners(application: Application) -> list[str]:
    return [row.owner or "" for row in application.rows()]


def is_heard(application: Application) -> bool:
    """Tell whether the rows say that their workers were given them."""
    return all(owner.startswith(HEARD) for owner in owners(application))


@pytest.mark.parametrize("path", HOLDS)
def test_a_client_that_has_its_whole_answer_and_dies_at_once_has_spent_an_attempt_each_time(
    application: Application, serving: Serving, path: str
) -> None:
    enqueue(application, 3)
    assert serving.receive(path).count(b"task_type") == 3
    eventually(lambda: is_heard(application))
    run_out(application)
    eventually(lambda: application.statuses() == [Status.FAILED] * 3)
    assert [row.retry_count for row in application.rows()] == [1] * 3
    assert application.signals.of(AttemptsRefunded) == []


def test_who_stops_writes_down_what_was_handed_over(application: Application, serving: Serving) -> None:
    enqueue(application)
    serving.receive("/v2/tasks/hold")
    serving.stop()
    assert is_heard(application)


async def test_what_is_settled_at_once_is_not_written_down(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "_PAUSE_SECONDS", 3600.0)
    application.outbox.task("mail", max_retries=0)
    service = Service(application)
    heard: list[Any] = []
    service.app.state.service.claims.hear = lambda _, held: heard.append(held)
    enqueue(application)
    (task,) = await service.hold()
    assert (await service.set(task, "success")).status_code == 200
    await service.close()
    assert heard == []


@pytest.mark.parametrize("heard", [False, True])
async def test_a_claim_of_a_service_that_died_before_its_answer_costs_an_attempt_from_the_second_time_on(
    application: Application, heard: bool
) -> None:
    application.outbox.task("mail", max_retries=0)
    service = Service(application)
    claims, monitor = service.app.state.service.claims, service.app.state.service._monitor
    await service.app.state.service.call(service.app.state.service.catalogue.refresh)
    enqueue(application)

    def hold() -> Any:
        with application.engine.begin() as connection:
            (claim,) = claims.hold(connection, "w1", {"mail": 1}, 60.0)
            return claim

    claim = hold()
    if heard:
        body = {"claims": [{"id": str(claim.task.id), "token": str(claim.token)}]}
        assert (await service.worker("POST", "/v2/tasks/renew", body)).json() == {"lost": []}
        assert (await service.state(str(claim.task.id)))["owner"] == "w1"
    run_out(application)
    await asyncio.to_thread(monitor.step)
    if not heard:
        assert is_unspent(application)
        assert [refunded.tasks for refunded in application.signals.of(AttemptsRefunded)] == [1]
        assert (await service.state(str(claim.task.id)))["owner"] is None
        hold()
        run_out(application)
        await asyncio.to_thread(monitor.step)
    (row,) = application.rows()
    assert (row.status, row.retry_count) == (Status.FAILED, 1)
    await service.close()
