"""The original task service's routes, as its published workers decode and fill them: by strict types."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.integration.integrations.flowsvr.conftest import Service

Make = Callable[..., Service]


def moment(value: Any) -> None:
    """Be a time as Go reads it: RFC 3339 in full."""
    assert datetime.fromisoformat(value.replace("Z", "+00:00")).tzinfo is not None


def whole(value: Any) -> None:
    assert type(value) is int, value


def text(value: Any) -> None:
    assert isinstance(value, str)


def moment_or_null(value: Any) -> None:
    if value is not None:
        moment(value)


# As the published worker declares them: a number with a fraction, or an object in place of a number, fails there.
COMMON = {"code": whole, "msg": text}
TASK = {
    "user_id": text,
    "task_id": text,
    "task_type": text,
    "task_stage": text,
    "status": whole,
    "priority": whole,
    "crt_retry_num": whole,
    "max_retry_num": whole,
    "max_retry_interval": whole,
    "schedule_log": text,
    "context": text,
    "order_time": whole,
    "create_time": moment,
    "modify_time": moment,
}
CONFIG = {
    "task_type": text,
    "schedule_limit": whole,
    "schedule_interval": whole,
    "max_processing_time": whole,
    "max_retry_num": whole,
    "retry_interval": whole,
    "max_retry_interval": whole,
    "create_time": moment_or_null,
    "modify_time": moment_or_null,
}
UNSET = {
    "user_id": "",
    "task_id": "",
    "task_stage": "",
    "status": 1,
    "priority": None,
    "crt_retry_num": 0,
    "max_retry_num": 0,
    "max_retry_interval": 0,
    "schedule_log": "",
    "context": "",
    "order_time": 0,
    "create_time": "0001-01-01T00:00:00Z",
    "modify_time": "0001-01-01T00:00:00Z",
}  # as Go writes what nobody has set


def decoded(reply: Any, **fields: Any) -> Any:
    """Return an answer that the published structures decode."""
    assert reply.status_code == 200, reply.text
    answer = reply.json()
    for name, kind in {**COMMON, **fields}.items():
        many, kinds = (answer[name], kind[0]) if isinstance(kind, list) else ([answer[name]], kind)
        for one in many:
            if isinstance(kinds, dict):
                for inner, check in kinds.items():
                    check(one[inner])
            else:
                kinds(one)
    assert answer["code"] == 0
    return answer


@pytest.fixture
async def original(service: Service) -> Service:
    options = {"max_retries": 3, "retry_interval_seconds": 5, "max_retry_interval_seconds": 60}
    assert (await service.admin("PUT", "/v2/task-types/lark", options)).status_code == 201
    return service


async def hold(service: Service) -> Any:
    reply = await service.worker("POST", "/v1/hold_tasks", {"task_type": "lark", "limit": 10})
    return decoded(reply, task_list=[TASK])["task_list"]


async def put(service: Service, task: Any, **fields: Any) -> None:
    sent = {**UNSET, **{name: task[name] for name in TASK}, **fields}
    decoded(await service.worker("POST", "/v1/set_task", {"task_data": sent}))


async def test_the_published_structures_decode_every_answer(original: Service) -> None:
    service = original
    decoded(await service.admin("POST", "/v1/register_task", {"task_type": "lark"}))
    data = {**UNSET, "task_type": "lark", "context": '{"to":"a"}', "priority": 30}
    created = decoded(await service.producer("POST", "/v1/create_task", {"task_data": data}), task_id=text)
    (held,) = await hold(service)
    assert (held["context"], held["priority"], held["user_id"], held["status"]) == ('{"to":"a"}', 30, "", 2)
    assert (held["crt_retry_num"], held["max_retry_num"], held["max_retry_interval"]) == (0, 3, 5)
    for path, fields in (
        (f"get_task?task_id={created['task_id']}", {"task_data": TASK}),
        (f"get_task?taskId={created['task_id']}", {"task_data": TASK}),
        ("get_task_list?task_type=lark&status=2&limit=10", {"task_list": [TASK]}),
        ("get_task_list?taskType=lark&status=2&limit=10", {"task_list": [TASK]}),
        ("get_task_schedule_cfg_list", {"task_schedule_cfg_list": [CONFIG]}),
        ("get_task_counts_by_type?task_type=lark", {"counts": whole}),
        ("ping", {}),
    ):
        decoded(await service.worker("GET", f"/v1/{path}"), **fields)
    listed = (await service.worker("GET", "/v1/get_task_list?task_type=lark")).json()["task_list"]
    assert [task["context"] for task in listed] == ['{"to":"a"}']


async def test_what_the_original_leaves_unset_is_as_the_type_has_it(original: Service) -> None:
    await original.producer("POST", "/v1/create_task", {"task_data": {**UNSET, "task_type": "lark"}})
    (row,) = original.application.rows()
    assert (row.task_key, row.max_retries, row.priority) == (None, 3, 0)


async def test_the_order_time_that_a_worker_sets_is_when_the_task_is_due(original: Service) -> None:
    await original.producer("POST", "/v1/create_task", {"task_data": {**UNSET, "task_type": "lark"}})
    (held,) = await hold(original)
    later = int(time.time()) + 1000
    await put(original, held, status=1, crt_retry_num=1, context="went wrong", order_time=later)
    (row,) = original.application.rows()
    assert abs(row.order_time.timestamp() - later) < 120
    assert await hold(original) == []
    original.application.make_due()
    (again,) = await hold(original)
    assert (again["crt_retry_num"], again["max_retry_interval"]) == (1, 10)
    await put(original, again, status=1, order_time=int(time.time()) - again["priority"])
    (third,) = await hold(original)
    assert third["crt_retry_num"] == 1  # that was "come back later", not a failure


@pytest.mark.parametrize("order_time", [-1, 2**63, 10**400])
async def test_an_order_time_that_is_no_time_is_refused(original: Service, order_time: int) -> None:
    data = {"task_id": "x", "status": 1, "order_time": order_time}
    reply = await original.worker("POST", "/v1/set_task", {"task_data": data})
    assert (reply.status_code, reply.json()["field"]) == (422, "task_data.order_time")


async def test_a_worker_that_sends_no_content_type_is_heard(original: Service) -> None:
    await original.producer("POST", "/v1/create_task", {"task_data": {**UNSET, "task_type": "lark"}})
    headers = {"Authorization": original.worker._headers["Authorization"]}
    body = b'{"task_type": "lark", "limit": 5}'
    reply = await original.client.post("/v1/hold_tasks?task_type=lark&limit=5", content=body, headers=headers)
    assert len(decoded(reply, task_list=[TASK])["task_list"]) == 1


@pytest.mark.parametrize(
    "context",
    [
        '{"n":123456789012345678901234567890}',
        '{"n":0.1234567890123456789}',
        "[1e400]",
        '{"n":1,"n":2}',
        "1e5",
        '"in quotes"',
        '{"n":18446744073709551615,"x":0.1,"y":[1.5]}',
    ],
)
async def test_a_context_comes_back_as_it_was_written_whatever_its_numbers(
    alone: Callable[..., Service], context: str
) -> None:
    original = alone()
    reply = await original.producer(
        "POST", "/v1/create_task", {"task_data": {"task_type": "mail", "context": context, "task_stage": "first"}}
    )
    assert reply.json()["code"] == 0, reply.text
    (held,) = (await original.worker("POST", "/v1/hold_tasks", {"task_type": "mail"})).json()["task_list"]
    assert held["context"] == context
    data = {"task_id": held["task_id"], "status": 2, "task_stage": "second", "context": "x"}
    for its_context in ("x", context):
        reply = await original.worker("POST", "/v1/set_task", {"task_data": {**data, "context": its_context}})
        assert reply.json()["code"] == 0, reply.text
    (found,) = (await original.producer("GET", "/v1/get_task_list?task_type=mail")).json()["task_list"]
    assert found["context"] == context
