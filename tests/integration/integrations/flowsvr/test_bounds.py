"""What one answer may hold: not more bytes than the service bears, whatever is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.integrations.flowsvr.conftest import Service

Make = Callable[..., Service]
LARGE = {"arguments": {"x": "y" * 20_000}}


async def with_large_tasks(make: Make, count: int) -> Service:
    service = make(max_answer_bytes=100_000)
    body = {"task_type": "mail", "tasks": [LARGE] * count}
    assert (await service.producer("POST", "/v2/tasks/bulk", body)).status_code == 201
    return service


WRONG = {"arguments": 1, "priority": "x", "run_at": "x", "surplus": 1}
NAMED = {"id": "x", "token": "y"}


@pytest.mark.parametrize(
    ("path", "name", "item"),
    [
        ("tasks/bulk", "tasks", WRONG),
        ("tasks/set", "outcomes", {**NAMED, "outcome": "z"}),
        ("tasks/renew", "claims", NAMED),
        ("dead-letters/replay", "ids", "x"),
    ],
)
async def test_of_many_items_that_are_wrong_the_first_is_told_and_no_other_looked_at(
    alone: Make, path: str, name: str, item: Any
) -> None:
    service = alone()
    body = {"task_type": "mail"} if name == "tasks" else {}
    reply = await service.admin("POST", f"/v2/{path}", {**body, name: [item] * 9_999})
    assert reply.status_code == 422
    places = {fault["field"].split(".")[1] for fault in reply.json()["faults"] if fault["field"].startswith(name)}
    assert places == {"0"}


async def test_the_types_of_a_hold_are_counted_before_any_is_looked_at(alone: Make) -> None:
    reply = await alone().worker(
        "POST", "/v2/tasks/hold", {"worker": "w", "limits": {f"t{n}": "x" for n in range(1001)}}
    )
    assert reply.status_code == 422
    assert [fault["field"] for fault in reply.json()["faults"]] == ["limits"]


async def test_a_hold_ends_where_its_tasks_are_large_and_the_next_one_goes_on(alone: Make) -> None:
    service = await with_large_tasks(alone, 200)
    sizes: list[int] = []
    while held := await service.hold(most=1000):
        sizes.append(len(held))
    assert sum(sizes) == 200
    assert max(sizes) <= 64


async def test_a_hold_of_small_tasks_is_whole(service: Service) -> None:
    body = {"task_type": "mail", "tasks": [{}] * 1000}
    await service.producer("POST", "/v2/tasks/bulk", body)
    assert len(await service.hold(most=1000)) == 1000


async def test_a_page_ends_where_its_tasks_are_large(alone: Make) -> None:
    service = await with_large_tasks(alone, 100)
    reply = await service.worker("GET", "/v1/get_task_list?task_type=mail")
    assert len(reply.content) < 2 * (100_000 + 17 * 25_000)  # the original's names have each context twice
    headers = {"h": "v" * 30_000}
    for _ in range(3):
        body: dict[str, Any] = {"task_type": "mail", "tasks": [{"headers": headers}] * 100}
        assert (await service.producer("POST", "/v2/tasks/bulk", body)).status_code == 201
    seen, cursor, pages = 0, "", 0
    while cursor is not None:
        page = (await service.worker("GET", f"/v2/tasks?limit=1000{cursor and f'&cursor={cursor}'}")).json()
        seen, cursor, pages = seen + len(page["tasks"]), page["next"], pages + 1
    assert (seen, pages > 1) == (400, True)
