"""Somebody holds the lock of a task's row for long: that task waits, and no hold, renewal or outcome of another one."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import select

from asyncflow import Call, Status
from asyncflow.events import RowsLocked, SettleFenced
from asyncflow.integrations.flowsvr.client import ServiceWorker
from asyncflow.outbox.dialects.mysql import MySQL
from tests.integration.integrations.flowsvr.conftest import Service
from tests.integration.integrations.flowsvr.test_workers import _WORKER, serving
from tests.integration.scheduler.relay.test_locked_rows import locked
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize(
    ("database_url", "skips"), [("mariadb", True), ("mariadb", False), ("postgresql", True)], indirect=True
)


@pytest.fixture(autouse=True)
def skips(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Tell whether the server knows SKIP LOCKED; let it know none if it is not to."""
    if not request.param:
        monkeypatch.setattr(MySQL, "skips_locked", lambda *_: False)
    return bool(request.param)


@pytest.fixture
async def service(application: Application) -> Any:
    application.outbox.task("mail", max_retries=2)
    made = Service(application)
    with application.engine.begin() as connection:
        application.outbox.enqueue_many(connection, "mail", [Call({"number": number}) for number in range(6)])
    yield made
    await made.close()


def lock_of(application: Application, task_id: object) -> Any:
    tasks = application.outbox.tasks
    return locked(application.engine, select(tasks.c.id).where(tasks.c.id == task_id))


async def test_a_hold_steps_over_what_is_locked(application: Application, service: Service) -> None:
    first, *others = [row.id for row in application.rows()]
    with lock_of(application, first):
        for _ in range(2):
            held = await service.hold(most=3)
            assert len(held) in (2, 3)
            others = [one for one in others if str(one) not in {task["id"] for task in held}]
        while others:
            held = await service.hold()
            others = [one for one in others if str(one) not in {task["id"] for task in held}]
        assert application.signals.of(RowsLocked)
    while not (held := await service.hold()):
        pass
    assert [task["id"] for task in held] == [str(first)]


async def test_outcomes_and_renewals_of_others_are_written(application: Application, service: Service) -> None:
    tasks = await service.hold()
    outcomes = [{"id": task["id"], "token": task["token"], "outcome": "success"} for task in tasks]
    claims = [{"id": task["id"], "token": task["token"]} for task in tasks]
    first = tasks[0]["id"]
    with lock_of(application, first):
        renewed = (await service.worker("POST", "/v2/tasks/renew", {"claims": claims})).json()
        while renewed["locked"] != [first]:  # whoever waits for the lock has locked others
            assert renewed["lost"] == []
            renewed = (await service.worker("POST", "/v2/tasks/renew", {"claims": claims})).json()
        settled: set[str] = set()
        while len(settled) < 5:
            left = [one for one in outcomes if one["id"] not in settled]
            reply = await service.worker("POST", "/v2/tasks/set", {"outcomes": left})
            settled |= {one["id"] for one in reply.json()["results"] if one["settled"]}
            (locked,) = [one for one in reply.json()["results"] if one["id"] == first]
            assert (locked["settled"], locked["locked"], locked["status"]) == (False, True, "PROCESSING")
        one = await service.set(tasks[0], "success")
        assert (one.status_code, "holds the lock" in one.json()["detail"]) == (503, True)
        assert one.headers["retry-after"]
    while (await service.set(tasks[0], "success")).status_code != 200:
        pass
    assert application.statuses() == [Status.SUCCESS] * 6
    assert application.signals.of(SettleFenced) == []


def test_a_worker_does_all_others_and_writes_what_was_locked_when_it_is_free(
    application: Application,
) -> None:
    begun, released = threading.Event(), threading.Event()

    @application.outbox.task("first", max_retries=0)
    def first() -> None:
        begun.set()
        released.wait(60)

    application.outbox.task("mail", max_retries=0)(lambda number: None)
    with application.engine.begin() as connection:
        its_id = application.outbox.enqueue(connection, "first")
    with (
        serving(application) as url,
        ServiceWorker(application.outbox, url, hooks=[application.signals], **_WORKER),
    ):
        assert begun.wait(60)
        with lock_of(application, its_id):
            released.set()
            with application.engine.begin() as connection:
                calls = [Call({"number": number}) for number in range(100)]
                application.outbox.enqueue_many(connection, "mail", calls)
            eventually(lambda: application.statuses().count(Status.SUCCESS) == 100)
        eventually(lambda: application.statuses() == [Status.SUCCESS] * 101)
    assert application.signals.of(SettleFenced) == []
