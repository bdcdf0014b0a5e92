"""Look-ups by id with a cache before them: what was settled for good is read once, and all else each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, delete, event

from asyncflow.integrations.flowsvr import Token, Tokens
from tests.integration.integrations.flowsvr.conftest import SECRETS, Service

ROOM = 1024 * 1024
Replicas = Callable[..., Service]


@contextmanager
def reads(engine: Engine) -> Iterator[list[str]]:
    """Give the SELECTs of tasks that are made meanwhile."""
    found: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT") and "asyncflow_task" in statement:
            found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)


async def looked_up(service: Service, task_id: str) -> tuple[Any, str | None]:
    """Return the status, and the age that is told."""
    reply = await service.producer("GET", f"/v2/tasks/{task_id}")
    return reply.json().get("status"), reply.headers.get("Age")


async def done(service: Service, outcome: str = "success") -> str:
    task_id = await service.create(key="A1001")
    (task,) = await service.hold()
    await service.set(task, outcome)
    return task_id


async def test_a_settled_task_is_read_once_and_told_whole_with_its_age(replicas: Replicas) -> None:
    service = replicas(cache_bytes=ROOM)
    task_id = await done(service)
    first = await service.producer("GET", f"/v2/tasks/{task_id}")
    with reads(service.application.engine) as statements:
        again = await service.producer("GET", f"/v2/tasks/{task_id}")
        original = await service.producer("GET", f"/v1/get_task?task_id={task_id}")
    assert statements == []
    assert again.json() == first.json()
    assert first.json()["status"] == "SUCCESS"
    assert original.status_code == 200
    assert "Age" not in first.headers
    assert int(again.headers["Age"]) >= 0


async def test_without_a_room_for_it_each_look_up_reads(replicas: Replicas) -> None:
    service = replicas()
    task_id = await done(service)
    with reads(service.application.engine) as statements:
        assert [await looked_up(service, task_id) for _ in range(3)] == [("SUCCESS", None)] * 3
    assert len(statements) == 3


async def test_a_settle_by_another_replica_is_seen_by_the_next_look_up(replicas: Replicas) -> None:
    service, other = replicas(cache_bytes=ROOM), replicas(cache_bytes=ROOM)
    task_id = await service.create()
    for outcome in ("retry", "success"):
        assert await looked_up(service, task_id) == ("PENDING", None)
        (task,) = await other.hold()
        assert await looked_up(service, task_id) == ("PROCESSING", None)
        await other.set(task, outcome, **({"delay_seconds": 0} if outcome == "retry" else {}))
    assert await looked_up(service, task_id) == ("SUCCESS", None)


async def test_a_dead_letter_that_is_replayed_elsewhere_is_seen_at_once(replicas: Replicas) -> None:
    service, other = replicas(cache_bytes=ROOM), replicas()
    task_id = await done(service, "failed")
    assert await looked_up(service, task_id) == ("FAILED", None)
    reply = await other.admin("POST", "/v2/dead-letters/replay", {"ids": [task_id]})
    assert reply.status_code == 200, reply.text
    assert await looked_up(service, task_id) == ("PENDING", None)


async def test_a_deleted_task_is_told_for_no_longer_than_is_allowed(replicas: Replicas) -> None:
    service = replicas(cache_bytes=ROOM, cache_seconds=600)
    brief = replicas(cache_bytes=ROOM, cache_seconds=0.001)
    task_id = await done(service)
    for one in (service, brief):
        await looked_up(one, task_id)
    tasks = service.application.outbox.tasks
    with service.application.engine.begin() as connection:
        connection.execute(delete(tasks).where(tasks.c.id == UUID(task_id)))
    assert (await looked_up(service, task_id))[0] == "SUCCESS"
    assert (await brief.producer("GET", f"/v2/tasks/{task_id}")).status_code == 404


async def test_a_kept_task_is_told_to_nobody_who_may_not_see_its_type(replicas: Replicas) -> None:
    stranger = Token.of("stranger", "the-secret-of-a-stranger", "producer", task_types=["sms"])
    known = [Token.of(role, secret, role) for role, secret in SECRETS.items()]
    service = replicas(cache_bytes=ROOM, tokens=Tokens([*known, stranger]))
    task_id = await done(service)
    await looked_up(service, task_id)
    headers = {"Authorization": "Bearer the-secret-of-a-stranger"}
    reply = await service.client.get(f"/v2/tasks/{task_id}", headers=headers)
    assert reply.status_code == 404
    assert (await looked_up(service, task_id))[0] == "SUCCESS"
