"""A task service whose database's answers to COMMITs are lost: each request takes effect once, and is answered so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import URL, Connection, delete, event
from sqlalchemy.exc import OperationalError

from asyncflow import Status
from asyncflow.events import SettleFenced, TasksSettled
from tests.integration.integrations.flowsvr.conftest import Service
from tests.support.application import Application
from tests.support.databases import drop_everything, open_engine
from tests.support.proxy import proxy_to


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
@pytest.mark.parametrize("on_success", ["keep", "delete"])
async def test_a_task_is_created_held_and_settled_once(database_url: URL, on_success: str) -> None:
    engine = open_engine(database_url)
    with proxy_to(database_url) as (proxy, url):
        application = Application(engine)
        application.outbox.task("mail", max_retries=0)
        application.engine = open_engine(url)
        service = Service(application, on_success=on_success)
        for lost in proxy.each_lost():
            with engine.begin() as connection:
                connection.execute(delete(application.outbox.tasks))
            reply = await service.producer("POST", "/v2/tasks", {"task_type": "mail", "idempotency_key": f"k{lost}"})
            assert reply.status_code in (200, 201), reply.text
            bulk = await service.producer("POST", "/v2/tasks/bulk", {"task_type": "mail", "tasks": [{}, {}]})
            assert bulk.status_code in ((201,) if on_success == "keep" else (201, 504)), bulk.text
            held = await service.hold()
            assert {task["attempt"] for task in held} == {1}
            assert len(held) == 3
            outcomes = [{"id": task["id"], "token": task["token"], "outcome": "success"} for task in held]
            results = (await service.worker("POST", "/v2/tasks/set", {"outcomes": outcomes})).json()["results"]
            assert [result["settled"] for result in results] == [True] * 3
            statuses = [row.status for row in application.rows() if row.status != Status.SUCCESS]
            assert statuses == []
        assert application.signals.of(SettleFenced) == []
        assert sum(event.succeeded for event in application.signals.of(TasksSettled)) == 3 * (lost + 1)
        await service.close()
        application.engine.dispose()
    drop_everything(engine)
    engine.dispose()


@pytest.mark.parametrize("kept", [2, 1], ids=["all keys used before", "the first key used before"])
async def test_a_bulk_that_was_rolled_back_with_its_connection_is_written(
    alone: Callable[..., Service], kept: int
) -> None:
    service = alone()
    tasks = [{"idempotency_key": f"k{number}"} for number in range(2)]
    old = [await service.create(**task) for task in tasks[:kept]]

    def lose(_: Connection) -> None:
        event.remove(service.application.engine, "commit", lose)
        raise OperationalError("COMMIT", {}, Exception("the server has gone away"), connection_invalidated=True)

    event.listen(service.application.engine, "commit", lose)
    reply = await service.producer("POST", "/v2/tasks/bulk", {"task_type": "mail", "tasks": tasks})
    assert reply.status_code == 201, reply.text
    ids: list[Any] = reply.json()["ids"]
    assert ids[:kept] == old
    assert sorted(ids) == sorted(str(row.id) for row in service.application.rows())
