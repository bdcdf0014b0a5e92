"""``asyncflow serve`` in a process of its own."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine

from asyncflow import cli
from tests.integration.integrations.flowsvr.process import SECRET, Process
from tests.support.databases import drop_everything
from tests.unit.scheduler.waiting import eventually


@pytest.fixture
def serve(tmp_path: Path, database_url: URL) -> Iterator[Callable[..., list[Process]]]:
    """Start replicas of the service on an empty database with its tables; end them with the test."""
    url = database_url.render_as_string(hide_password=False)
    assert cli.main(["init-db", "--database-url", url]) == 0
    started: list[Process] = []

    def begin(count: int, *options: str) -> list[Process]:
        started.extend(Process(tmp_path, url, *options) for _ in range(count))
        for process in started:
            eventually(process.is_up)
        return started

    yield begin
    for process in started:
        process.end()
    engine = create_engine(database_url)
    drop_everything(engine)
    engine.dispose()


def test_a_sigterm_lets_waiting_holds_return_at_once_and_ends_the_process_cleanly(
    serve: Callable[..., list[Process]],
) -> None:
    (process,) = serve(1)
    with process.connect() as waiting:
        waiting.sendall(process.asking("/v2/tasks/hold", {"worker": "w", "limits": {"mail": 1}, "wait_seconds": 30}))
        began = time.monotonic()
        for _ in range(3):  # whoever is answered after it knows that its loop has taken it in
            assert process.is_up()
        process.popen.send_signal(signal.SIGTERM)
        answer = HTTPResponse(waiting)
        answer.begin()
        assert (answer.status, json.loads(answer.read())["tasks"]) == (200, [])
        assert time.monotonic() - began < 28  # before its wait is over
    code, log = process.popen.wait(120), process.log.read_text()
    assert code == 0
    assert SECRET not in log
    assert "Traceback" not in log


def test_three_replicas_give_each_task_to_one_worker_and_a_dead_one_loses_nothing(
    serve: Callable[..., list[Process]],
) -> None:
    replicas = serve(3, "--monitor-interval-seconds", "0.2")
    body = {"task_type": "mail", "tasks": [{"max_retries": 100}] * 100}
    ids = replicas[0].client.post("/v2/tasks/bulk", json=body).json()["ids"]
    lost = replicas[0].hold(most=20, lease_seconds=0.5)
    replicas[0].popen.kill()
    held: list[list[str]] = [[], []]

    def work(number: int) -> None:
        until = time.monotonic() + 120
        while sum(map(len, held)) < len(ids) and time.monotonic() < until:
            tasks = replicas[1 + number].hold(most=9, wait_seconds=1)
            held[number] += [task["id"] for task in tasks]
            if not tasks:
                continue
            outcomes = [{"id": task["id"], "token": task["token"], "outcome": "success"} for task in tasks]
            replicas[1 + number].client.post("/v2/tasks/set", json={"outcomes": outcomes})

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(180)
    assert len(lost) == 20
    assert sorted(held[0] + held[1]) == sorted(ids)
    assert replicas[1].client.get("/v2/counts").json()["counts"]["mail"]["SUCCESS"] == 100
