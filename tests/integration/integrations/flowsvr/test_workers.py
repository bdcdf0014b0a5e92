"""Workers and the client against a real replica over HTTP, on each database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from asyncflow import Call, NotDone, Status, TaskContext
from asyncflow.errors import ClaimLostError, ForkedError, ServiceRefusedError
from asyncflow.events import SettleFenced
from asyncflow.integrations.flowsvr import ServiceSettings, make_app
from asyncflow.integrations.flowsvr.client import Created, Outcome, ServiceWorker, TaskServiceClient
from asyncflow.scheduler.table.claim_owner import shown_owner
from tests.integration.integrations.flowsvr.conftest import SECRETS, TOKENS
from tests.integration.scheduler.worker.test_handlers import take_away
from tests.support.application import Application
from tests.support.forking import Child
from tests.support.snippets import ROOT
from tests.unit.scheduler.waiting import eventually

_PATIENT: dict[str, Any] = {"request_timeout_seconds": 60.0}
_WORKER = {"wait_seconds": 0.5, "stop_timeout_seconds": 60.0, "token": SECRETS["worker"], **_PATIENT}


@contextmanager
def serving(application: Application) -> Iterator[str]:
    """Serve the application's tasks on a port of the system's choice; give the URL."""
    settings = ServiceSettings(look_interval_seconds=0.02, monitor_interval_seconds=0.2)
    app = make_app(application.engine, application.outbox, TOKENS, settings)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            eventually(lambda: server.started)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)


@pytest.fixture
def server(application: Application) -> Iterator[str]:
    with serving(application) as url:
        yield url


def worker(application: Application, server: str, target: Any = None, **options: Any) -> ServiceWorker:
    given = {**_WORKER, **options}
    return ServiceWorker(target or application.outbox, server, hooks=[application.signals], **given)


def client(server: str, role: str) -> TaskServiceClient:
    return TaskServiceClient(server, token=SECRETS[role], retry_for_seconds=120.0, **_PATIENT)


def test_the_same_handlers_do_over_http_what_was_enqueued_in_the_database(
    application: Application, server: str
) -> None:
    seen: list[Any] = []

    @application.outbox.task(max_retries=1, retry_interval_seconds=0, max_retry_interval_seconds=0)
    def working(how: str, when: date, ctx: TaskContext) -> None:
        seen.append((how, when, ctx.stage, ctx.context, ctx.key))
        if how == "staged" and ctx.stage is None:
            ctx.checkpoint(stage="begun", context={"part": 1})
            raise NotDone(0)
        if how == "failing":
            raise ValueError("never")

    @application.outbox.task()
    async def coroutine() -> None:
        seen.append("coroutine")

    with application.session() as session, session.begin():
        for how in ("plain", "staged", "failing"):
            application.outbox.enqueue(session, working, key=how, how=how, when=date(2030, 1, 2))
        application.outbox.enqueue(session, coroutine)
    with worker(application, server):
        eventually(lambda: application.statuses().count(Status.SUCCESS) == 3)
        eventually(lambda: application.statuses().count(Status.FAILED) == 1)

    assert application.statuses() == [Status.SUCCESS] * 2 + [Status.FAILED, Status.SUCCESS]
    assert ("staged", date(2030, 1, 2), "begun", {"part": 1}, "staged") in seen
    assert "ValueError: never" in application.rows()[2].schedule_log
    assert [row.retry_count for row in application.rows()] == [1, 1, 2, 1]


def test_a_transactional_handler_settles_in_its_own_transaction(application: Application, server: str) -> None:
    @application.outbox.task(transactional=True)
    def adding(session: Session, account_no: str) -> None:
        if account_no == "late":
            take_away(application)
        session.execute(insert(application.User).values(account_no=account_no))

    target = application.scheduler()
    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, adding, account_no="A1")
    with worker(application, server, target):
        eventually(lambda: application.statuses() == [Status.SUCCESS])
        with application.engine.begin() as connection:
            application.outbox.enqueue(connection, adding, account_no="late")
        application.signals.wait_for(SettleFenced)

    count = select(func.count()).select_from(application.User)
    assert application.rows(count)[0][0] == 1
    assert application.statuses() == [Status.SUCCESS, Status.PROCESSING]


def test_a_client_creates_holds_settles_and_looks(application: Application, server: str) -> None:
    application.outbox.task("mail", max_retries=2)
    with client(server, "producer") as producer, client(server, "worker") as working:
        created = producer.create("mail", {"to": "A1"}, key="A1", priority=3, idempotency_key="once")
        assert created.created
        ids = producer.create_many("mail", [Call({"to": "A2"}), Call({"to": "A3"}, unique_key="A3")])
        assert producer.create("mail", {"to": "A4"}, unique_key="A3") == Created(ids[1], False)
        assert producer.get(created.id)["arguments"] == {"to": "A1"}
        held = working.hold("w1", {"mail": 3, "unheard.of": 1}, lease_seconds=600)
        tasks = {task.id: task for task in held.tasks}
        assert tasks.keys() == {created.id, *ids}
        assert held.unknown == ["unheard.of"]
        one, two, three = (tasks[task_id] for task_id in (created.id, *ids))
        assert (one.arguments, one.attempt, one.max_retries) == ({"to": "A1"}, 1, 2)

        working.checkpoint(one.id, one.token, "begun", {"part": 1}, lease_seconds=600)
        assert working.renew([(task.id, task.token) for task in held.tasks], lease_seconds=600) == set()
        assert working.set_one(Outcome(one.id, one.token, "success")) == "SUCCESS"
        settled = working.set(
            [Outcome(two.id, two.token, "failed", error="no"), Outcome(three.id, three.token, "given_back")]
        )
        assert [(one.settled, one.status) for one in settled] == [(True, "FAILED"), (True, "PENDING")]
        with pytest.raises(ClaimLostError, match="SUCCESS"):
            working.set_one(Outcome(one.id, one.token, "success"))
        with pytest.raises(ClaimLostError):
            working.checkpoint(one.id, one.token, "late")

        assert {task["id"] for task in producer.list_all(task_type="mail", limit=1)} == set(map(str, tasks))
        assert producer.list(status="FAILED").tasks[0]["key"] is None
        assert producer.counts()
        assert producer.is_ready()
        with pytest.raises(ServiceRefusedError, match="unheard"):
            producer.create("unheard.of")
        with pytest.raises(ServiceRefusedError) as caught:
            working.create("mail")
        assert caught.value.status == 403


WIRING = """
import os, threading
from sqlalchemy import MetaData, create_engine
from asyncflow import Outbox
outbox = Outbox(MetaData())

@outbox.task()
def quick(number: int) -> None: ...

@outbox.task(concurrency=1, limit=3)
def slow(number: int, ctx) -> None:
    print("at work", flush=True)
    while not ctx.cancelled:
        threading.Event().wait(0.02)
"""


def test_an_administrator_registers_and_configures_task_types(application: Application, server: str) -> None:
    with client(server, "admin") as admin:
        assert admin.register("pdf.render", max_retries=4)["created"]
        assert "pdf.render" in [one["task_type"] for one in admin.task_types()["task_types"]]
        admin.configure("pdf.render", enabled=False, limit=7)
        assert admin.configuration("pdf.render")["limit"] == 7
        assert admin.configuration()["configuration"]
        assert admin.hold("w1", {"pdf.render": 1}).tasks == []
        created = admin.create("pdf.render", {"page": 1}, max_retries=1)
        assert admin.get(created.id)["max_retries"] == 1
        admin.forget_configuration("pdf.render")
        with pytest.raises(ServiceRefusedError):
            admin.configuration("pdf.render")


_COMMAND = (sys.executable, "-m", "asyncflow.cli", "worker", "wiring:outbox")
_REQUESTS = ("--request-timeout-seconds", "60")


def test_the_command_works_until_sigterm_and_gives_back_what_has_not_begun(
    application: Application, server: str, tmp_path: Path
) -> None:
    quick, slow = (application.outbox.task(name) for name in ("quick", "slow"))
    with application.engine.begin() as connection:
        application.outbox.enqueue_many(connection, quick, [Call({"number": 1})])
        application.outbox.enqueue_many(connection, slow, [Call({"number": number}) for number in range(4)])
    (tmp_path / "wiring.py").write_text(WIRING)
    (tmp_path / "token").write_text(SECRETS["worker"] + "\n")
    process = subprocess.Popen(
        [*_COMMAND, "--server", server, "--token-file", "token", "--name", "w1", "--wait-seconds", "0.5", *_REQUESTS],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        eventually(lambda: application.statuses()[0] == Status.SUCCESS)
        at_work = [row for row in application.rows() if row.status == Status.PROCESSING]
        assert {shown_owner(row.owner) for row in at_work} == {"w1"}
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()

    assert process.returncode == 0, errors
    assert time.monotonic() - began < 40
    assert "WorkerStarted worker=w1" in errors
    assert sorted(application.statuses()) == [Status.PENDING] * 3 + [Status.SUCCESS] * 2
    assert sorted(row.retry_count for row in application.rows()) == [0, 0, 0, 1, 1]


def test_each_child_is_a_worker_of_its_own_and_one_of_a_started_worker_is_refused(
    application: Application, server: str
) -> None:
    @application.outbox.task
    def nothing(n: int) -> None:
        """Be done."""

    one = worker(application, server)
    producer = client(server, "producer")
    assert producer.create("nothing", {"n": 0}).created

    def work(n: int) -> str:
        assert producer.create("nothing", {"n": n}).created  # on a connection of the child's
        with one:
            eventually(lambda: set(application.statuses()) == {Status.SUCCESS})
        return one.name

    children = [Child(partial(work, n)) for n in (1, 2)]
    names = {child.result() for child in children}
    assert len({*names, one.name}) == 3

    def refused() -> str:
        with pytest.raises(ForkedError) as caught:
            one.start()
        assert one.stop()
        return str(caught.value)

    with one:
        assert "make a worker in the child" in Child(refused).result()
        assert producer.create("nothing", {"n": 3}).created
        eventually(lambda: set(application.statuses()) == {Status.SUCCESS})
