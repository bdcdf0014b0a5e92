"""Lists, counts, idempotency, long polls, types, dead letters, the original routes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, delete

from asyncflow import Outbox, Scheduler, Status, cli
from asyncflow.errors import ShardCountMismatchError
from asyncflow.integrations.flowsvr import command
from asyncflow.scheduler import Audit
from asyncflow.scheduler.cluster.shard_count import recorded_shard_count
from asyncflow.scheduler.configuration.configurations import Configurations
from asyncflow.scheduler.diagnosis.sight import look
from tests.integration.integrations.flowsvr.conftest import SECRETS, Service
from tests.support.application import Application

Make = Callable[..., Service]


async def pages(service: Service, query: str, between: Callable[[], Any] | None = None) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        page = (await service.worker("GET", f"/v2/tasks?limit=3{query}{cursor}")).json()
        found += [task["id"] for task in page["tasks"]]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"
        if between is not None:
            await between()


@pytest.mark.parametrize(
    "query", ["", "&task_type=mail", "&status=PENDING", "&task_type=mail&status=PENDING", "&key=k"]
)
async def test_pages_skip_and_repeat_nothing_while_tasks_are_created(service: Service, query: str) -> None:
    body = {"task_type": "mail", "tasks": [{"key": "k"}] * 10}
    ids = (await service.producer("POST", "/v2/tasks/bulk", body)).json()["ids"]
    created: list[str] = []

    async def create() -> None:
        if len(created) < 6:
            created.append(await service.create(key="k"))

    found = await pages(service, query, create)
    assert len(found) == len(set(found))
    assert set(ids) <= set(found) <= {*ids, *created}


async def test_filters_choose(service: Service) -> None:
    await service.admin("PUT", "/v2/task-types/sms", {})
    first, second = await service.create("sms", key="A"), await service.create("mail", key="B")
    (task,) = await service.hold("sms")
    await service.set(task, "success")
    assert await pages(service, "&status=success") == [first]
    assert await pages(service, "&task_type=mail") == [second]
    assert await pages(service, "&key=A&status=PENDING") == []
    counts = (await service.worker("GET", "/v2/counts")).json()["counts"]
    assert (counts["sms"]["SUCCESS"], counts["mail"]["PENDING"]) == (1, 1)


async def test_an_idempotency_key_leads_to_the_first_task(service: Service) -> None:
    body = {"task_type": "mail", "idempotency_key": "order-1", "arguments": {"n": 1}}
    replies = [await service.producer("POST", "/v2/tasks", body) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [201, 200]
    assert [reply.json()["created"] for reply in replies] == [True, False]
    assert replies[0].json()["id"] == replies[1].json()["id"]
    assert len(service.application.statuses()) == 1


async def test_a_unique_key_leads_to_a_task_that_waits_or_is_at_work(service: Service) -> None:
    body = {"task_type": "mail", "unique_key": "A1"}
    replies = [await service.producer("POST", "/v2/tasks", {**body, "arguments": {"n": n}}) for n in range(2)]
    (task,) = await service.hold()
    replies.append(await service.producer("POST", "/v2/tasks", body))
    assert [reply.json()["created"] for reply in replies] == [True, False, False]
    assert {reply.json()["id"] for reply in replies} == {task["id"]}
    await service.set(task, "success")
    bulk = {"task_type": "mail", "tasks": [{"unique_key": key} for key in ("A1", "A2", "A1")]}
    first, second, third = (await service.producer("POST", "/v2/tasks/bulk", bulk)).json()["ids"]
    assert first == third != second
    assert task["id"] not in (first, second)


async def test_a_task_with_two_kinds_of_keys_is_refused(service: Service) -> None:
    body = {"task_type": "mail", "unique_key": "A1", "idempotency_key": "A1"}
    reply = await service.producer("POST", "/v2/tasks", body)
    assert reply.status_code == 422
    assert "both given" in reply.json()["detail"]
    assert service.application.statuses() == []


async def test_a_waiting_hold_gets_what_is_created_meanwhile(alone: Make) -> None:
    service, other = alone(), alone()
    waiting = asyncio.create_task(service.hold(wait_seconds=30))
    await asyncio.sleep(0.2)
    began = time.monotonic()
    task_id = await other.create()  # another replica: nothing but the database tells of it
    assert [task["id"] for task in await waiting] == [task_id]
    assert time.monotonic() - began < 28  # before its wait is over


async def test_a_hold_without_tasks_returns_after_its_wait(alone: Make) -> None:
    began = time.monotonic()
    assert await alone().hold(wait_seconds=0.5) == []
    assert 0.4 < time.monotonic() - began < 120


async def test_a_hold_ends_with_its_client_and_takes_no_turn_of_another(alone: Make) -> None:
    service, began = alone(), time.monotonic()
    body = json.dumps({"worker": "w", "limits": {"mail": 1}, "wait_seconds": 30}).encode()
    arriving: list[Any] = [{"type": "http.disconnect"}, {"type": "http.request", "body": body}]
    answer: list[Any] = []

    async def receive() -> Any:
        return arriving.pop() if len(arriving) > 1 else arriving[0]

    async def send(message: Any) -> None:
        answer.append(message)

    headers = [(b"authorization", f"Bearer {SECRETS['worker']}".encode()), (b"content-type", b"application/json")]
    path = "/v2/tasks/hold"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    await service.app({**scope, "headers": headers, "client": ("127.0.0.1", 1)}, receive, send)
    assert answer[0]["status"] == 200
    assert time.monotonic() - began < 28  # before its wait is over


async def test_many_waiting_holds_need_no_thread_each(alone: Make) -> None:
    service = alone(threads=1)
    waiting = [asyncio.create_task(service.hold(most=1, worker=f"w{n}", wait_seconds=30)) for n in range(30)]
    await asyncio.sleep(0.3)
    ids = [await service.create() for _ in range(30)]
    held = await asyncio.gather(*waiting)
    assert sorted(task["id"] for tasks in held for task in tasks) == sorted(ids)


async def test_a_type_that_is_registered_serves_on_every_replica_and_can_be_switched_off(alone: Make) -> None:
    service, other = alone(type_refresh_seconds=0.01), alone(type_refresh_seconds=0.01)
    reply = await service.admin("PUT", "/v2/task-types/sms", {"max_retries": 1})
    assert (reply.status_code, reply.json()["created"]) == (201, True)
    assert (await service.admin("PUT", "/v2/task-types/sms", {})).status_code == 200
    await other.create("sms")
    assert (await other.hold("sms"))[0]["max_retries"] == 1
    await service.admin("PUT", "/v2/configuration/sms", {"enabled": False})
    await service.create("sms")
    await asyncio.sleep(0.05)
    assert await other.hold("sms") == []
    body = {"worker": "w", "limits": {"none": 1}}
    assert (await other.worker("POST", "/v2/tasks/hold", body)).json()["unknown"] == ["none"]
    assert (await service.admin("DELETE", "/v2/configuration/sms")).json()["removed"] is True
    assert (await service.admin("DELETE", "/v2/configuration/sms")).json()["removed"] is False
    # Who changed it is in the audit; a registration that changed nothing, and the second removal, are not.
    told = Audit(service.application.engine, service.application.outbox).entries()
    assert {one.action for one in told} == {"configure"}
    assert len({one.actor for one in told}) == 1
    assert [one.detail for one in reversed(told)] == ["max_retries = 1", "enabled = False", "all as declared"]


async def test_a_name_that_is_no_type_is_looked_for_by_itself(alone: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    service, other = alone(), alone()
    await service.create()
    await other.admin("PUT", "/v2/task-types/sms", {"max_retries": 1})

    def read_all(_: object) -> Any:
        raise AssertionError("all types were read")

    monkeypatch.setattr(Configurations, "all", read_all)
    await service.create("sms")
    assert (await service.producer("POST", "/v2/tasks", {"task_type": "fax"})).status_code == 422


async def test_dead_letters_are_replayed_cancelled_and_discarded(service: Service) -> None:
    ids = [await service.create() for _ in range(3)]
    for task in await service.hold():
        await service.set(task, "failed", error="no such address")
    letters = (await service.admin("GET", "/v2/dead-letters")).json()["dead_letters"]
    assert {letter["id"] for letter in letters} == set(ids)
    assert (await service.worker("GET", "/v2/dead-letters")).status_code == 403
    for verb, task_id, status in zip(("replay", "cancel", "discard"), ids, ("PENDING", "CANCELLED", None), strict=True):
        reply = await service.admin("POST", f"/v2/dead-letters/{verb}", {"ids": [task_id], "reason": "asked"})
        assert reply.json()["count"] == 1
        assert (await service.state(task_id)).get("status") == (status or 404)
    assert (await service.admin("POST", "/v2/dead-letters/replay", {})).status_code == 422
    assert service.application.statuses() == [Status.PENDING, Status.CANCELLED]


async def test_success_rows_are_deleted_on_request_and_a_retry_keeps_its_context(alone: Make) -> None:
    service = alone(on_success="delete")
    await service.create()
    (task,) = await service.hold()
    body = {"token": task["token"], "stage": "s", "context": {"long": "x" * 100_000}}
    assert (await service.worker("PUT", f"/v2/tasks/{task['id']}/checkpoint", body)).status_code == 200
    await service.set(task, "retry", delay_seconds=0)
    (again,) = await service.hold()
    assert again["context"] == body["context"]
    await service.set(again, "success")
    assert service.application.statuses() == []


async def test_the_original_routes_answer_in_the_original_names(alone: Make) -> None:
    service = alone()
    assert (await service.client.get("/v1/ping")).json() == {"code": 0, "msg": "pong"}
    assert (await service.admin("POST", "/v1/register_task", {"task_type": "lark"})).json() == {"code": 0, "msg": ""}
    data = {"user_id": "u1", "task_type": "lark", "task_stage": "sendmsg", "task_context": '{"to":"a"}', "priority": 3}
    task_id = (await service.producer("POST", "/v1/create_task", {"task_data": data})).json()["task_id"]
    (held,) = (await service.worker("POST", "/v1/hold_tasks", {"task_type": "lark", "limit": 5})).json()["task_list"]
    assert {name: held[name] for name in ("user_id", "task_stage", "task_context", "status")} == {
        "user_id": "u1",
        "task_stage": "sendmsg",
        "task_context": '{"to":"a"}',
        "status": 2,
    }
    moved = {**held, "status": 1, "task_stage": "record", "task_context": "sent 7"}
    assert (await service.worker("POST", "/v1/set_task", {"task_data": moved})).json() == {"code": 0, "msg": ""}
    assert (await service.worker("POST", "/v1/set_task", {"task_data": moved})).status_code == 409
    (again,) = (await service.worker("POST", "/v1/hold_tasks", {"task_type": "lark"})).json()["task_list"]
    assert (again["task_stage"], again["task_context"], again["crt_retry_num"]) == ("record", "sent 7", 0)
    await service.worker("POST", "/v1/set_task", {"task_data": {**again, "status": 3}})
    shown = (await service.worker("GET", f"/v1/get_task?task_id={task_id}")).json()["task_data"]
    assert (shown["task_id"], shown["status"], shown["task_stage"]) == (task_id, 3, "record")
    listed = (await service.worker("GET", "/v1/get_task_list?task_type=lark&status=3")).json()["task_list"]
    assert [task["task_id"] for task in listed] == [task_id]
    assert (await service.worker("GET", "/v1/get_task_counts_by_type?task_type=lark")).json()["count"] == 1
    configs = (await service.worker("GET", "/v1/get_task_schedule_cfg_list")).json()["schedule_cfg_list"]
    assert {config["task_type"] for config in configs} == {"lark", "mail"}
    wrong = await service.producer("POST", "/v1/create_task", {"task_data": {}})
    assert (wrong.status_code, wrong.json()["code"]) == (422, 8020)


async def test_the_monitor_gives_back_what_a_dead_worker_held(alone: Make) -> None:
    service = alone(monitor_interval_seconds=0.05)
    task_id = await service.create()
    await service.hold(lease_seconds=0.1)
    service.app.state.service.start()
    until = time.monotonic() + 60
    while (await service.state(task_id))["status"] != "PENDING":
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    assert (await service.state(task_id))["attempt"] == 0  # the first one that was not heard to have begun


async def test_openapi_documents_problems_and_security(alone: Make) -> None:
    document = (await alone().client.get("/openapi.json")).json()
    create = document["paths"]["/v2/tasks"]["post"]
    assert create["security"] == [{"HTTPBearer": []}]
    assert "application/problem+json" in create["responses"]["422"]["content"]
    assert "Problem" in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for route in methods.values():
            assert ("security" in route) != (path in ("/healthz", "/readyz", "/v1/ping")), path


async def test_the_name_of_a_task_type_may_hold_a_slash(alone: Make) -> None:
    service = alone()
    assert (await service.admin("PUT", "/v2/task-types/mail/welcome", {"max_retries": 7})).status_code == 201
    task_id = await service.create("mail/welcome")
    assert (await service.state(task_id))["task_type"] == "mail/welcome"
    options = (await service.admin("GET", "/v2/configuration/mail/welcome")).json()
    assert options["max_retries"] == 7


async def test_nothing_is_written_to_shards_that_no_scheduler_reads(alone: Make) -> None:
    service = alone()
    application = service.application
    application.scheduler().drain()  # records 64 shards
    shards = application.outbox.shards
    with application.engine.begin() as connection:
        connection.execute(delete(shards).where(shards.c.shard >= 16))
    reply = await service.producer("POST", "/v2/tasks", {"task_type": "mail"})
    assert reply.status_code == 503
    assert "records 16" in reply.json()["detail"]
    assert (await service.client.get("/readyz")).status_code == 503
    assert application.statuses() == []


async def test_what_is_written_before_any_scheduler_came_is_in_shards_that_each_later_one_reads(alone: Make) -> None:
    service = alone()
    application = service.application
    assert recorded_shard_count(application.engine, application.outbox) is None
    assert (await service.client.get("/readyz")).status_code == 200
    assert recorded_shard_count(application.engine, application.outbox) is None  # strangers write nothing
    await service.create()
    assert recorded_shard_count(application.engine, application.outbox) == application.outbox.shard_count
    with application.engine.connect() as connection:
        assert not look(connection, application.outbox, 0.0).unowned  # nobody is missed where nobody ever was
    other = Scheduler(application.engine, Outbox(MetaData(), shard_count=16), {})
    with pytest.raises(ShardCountMismatchError, match="records 64"):
        await asyncio.to_thread(other.start)


def test_a_service_on_a_url_uses_the_recorded_shard_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/service.db"
    application = Application(create_engine(url), shard_count=16)
    application.scheduler().drain()
    served: list[int] = []

    def made(_: Engine, outbox: Outbox, *__: object) -> command.Serve:
        served.append(outbox.shard_count)
        return lambda _: 0

    monkeypatch.setattr(command, "made", made)
    assert cli.main(["serve", "--database-url", url, "--insecure-no-auth"]) == 0
    assert served == [16]
