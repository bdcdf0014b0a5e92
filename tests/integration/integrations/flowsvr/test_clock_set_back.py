"""The database's clock is set back: claims of workers that died do not stand until it is there again."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from asyncflow import Call, Status
from asyncflow.events import ClaimsRanOut
from tests.integration.integrations.flowsvr.conftest import Service
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

_STEPS = {"20 minutes": timedelta(minutes=20), "a day": timedelta(days=1)}


@pytest.fixture
async def service(application: Application) -> Any:
    application.outbox.task("mail", max_retries=2, retry_interval_seconds=0, max_retry_interval_seconds=0)
    made = Service(application)
    await made.app.state.service.call(made.app.state.service.catalogue.refresh)
    yield made
    await made.close()


def enqueue(application: Application, count: int) -> None:
    with application.engine.begin() as connection:
        application.outbox.enqueue_many(connection, "mail", [Call({})] * count)


def set_back(application: Application, step: timedelta) -> None:
    """Let all claims be as if the database's clock had been set back since they were made."""
    name, seconds = application.outbox.tasks.fullname, int(step.total_seconds())
    later = {
        "mysql": "{0} + INTERVAL {1} SECOND",
        "mariadb": "{0} + INTERVAL {1} SECOND",
        "postgresql": "{0} + {1} * INTERVAL '1 second'",
        "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', {0}, '+{1} seconds')",
    }[application.engine.dialect.name]
    changes = ", ".join(f"{column} = {later.format(column, seconds)}" for column in ("order_time", "modified_at"))
    with application.engine.begin() as connection:
        connection.execute(text(f"UPDATE {name} SET {changes} WHERE status = 1"))


@pytest.mark.parametrize("step", _STEPS.values(), ids=_STEPS)
async def test_who_does_not_renew_loses_its_claims_within_their_lease_and_who_does_keeps_them(
    application: Application, service: Service, step: timedelta
) -> None:
    monitor = service.app.state.service._monitor
    enqueue(application, 3)
    held_at = time.monotonic()
    dead = await service.hold(most=2, lease_seconds=2.0)
    living = await service.hold(most=1, lease_seconds=600.0)
    set_back(application, step)
    monitor.step()
    statuses = application.statuses()
    assert statuses == [Status.PROCESSING] * 3 or time.monotonic() - held_at > 2.0  # it ran out on a busy machine
    claims = {"claims": [{"id": task["id"], "token": task["token"]} for task in living], "lease_seconds": 600.0}
    assert (await service.worker("POST", "/v2/tasks/renew", claims)).json() == {"lost": []}
    eventually(lambda: (monitor.step(), application.statuses().count(Status.PENDING) == 2)[1])
    assert sum(ran_out.given_back for ran_out in application.signals.of(ClaimsRanOut)) == 2
    assert (await service.set(living[0], "success")).status_code == 200
    assert (await service.set(dead[0], "success")).status_code == 409


async def test_a_step_is_noticed_by_a_service_that_watches_already(application: Application, service: Service) -> None:
    monitor = service.app.state.service._monitor
    enqueue(application, 1)
    await service.hold(lease_seconds=1.5)
    monitor.step()
    monitor.step()
    monitor._wards.untimely._ahead_by += 1200.0  # as it was before the step
    set_back(application, timedelta(minutes=20))
    eventually(lambda: (monitor.step(), application.statuses() == [Status.PENDING])[1])


async def test_no_claim_stands_longer_than_the_longest_that_a_worker_may_ask_for(
    application: Application, service: Service
) -> None:
    monitor, tasks = service.app.state.service._monitor, application.outbox.tasks
    enqueue(application, 1)
    await service.hold()
    monitor.step()
    with application.engine.begin() as connection:
        connection.execute(update(tasks).values(order_time=timedelta(seconds=3590)))
    monitor.step()
    assert application.statuses() == [Status.PROCESSING]
    with application.engine.begin() as connection:
        connection.execute(update(tasks).values(order_time=timedelta(hours=2)))
    monitor.step()
    assert application.statuses() == [Status.PENDING]


async def test_a_claim_by_the_original_names_may_last_as_long_as_its_type_allows(application: Application) -> None:
    application.outbox.task("slow", max_processing_time_seconds=50_000.0)
    service = Service(application)
    with application.engine.begin() as connection:
        application.outbox.enqueue(connection, "slow")
    assert (await service.worker("POST", "/v1/hold_tasks", {"task_type": "slow"})).json()["task_list"]
    service.app.state.service._monitor.step()
    assert application.statuses() == [Status.PROCESSING]
    await service.close()
