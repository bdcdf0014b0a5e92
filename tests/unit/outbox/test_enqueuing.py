"""What a hook may add to a task's headers: never what the caller gave, and never so much that the task is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.enqueuing import UnwrittenTask
from asyncflow.outbox.message import MAX_HEADERS_BYTES, MAX_MESSAGE_BYTES, RECORD_OVERHEAD_BYTES, Door, Message, row_of

KIND = MessageType(name="user.registered", destination="kafka", topic="user.registered")
TRACE = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}


def new(
    headers: dict[str, str] | None = None, payload: Any = None, limit: int = MAX_MESSAGE_BYTES
) -> tuple[UnwrittenTask, dict[str, Any]]:
    door = Door(64, limit)
    row = row_of(Message({} if payload is None else payload, "A1001", headers), KIND, door)
    return UnwrittenTask(row, door), row


def test_a_task_carries_what_a_hook_adds_beside_what_the_caller_gave() -> None:
    task, row = new({"tenant": "t1"})
    task.carry(TRACE)
    assert task.headers == {"tenant": "t1", **TRACE}
    assert orjson.loads(row["headers"]) == task.headers
    assert (task.id, task.key) == (row["id"], "A1001")


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TRACEPARENT"])
def test_what_the_caller_gave_stays(name: str) -> None:
    task, _ = new({name: "mine"})
    task.carry(TRACE)
    assert task.headers == {name: "mine"}


def test_a_task_of_no_headers_gets_none_that_the_columns_cannot_carry() -> None:
    task, row = new()
    task.carry({"name": "Zoë", "naïve": "a"})
    assert row["headers"] is None


def test_the_largest_message_still_has_room_for_a_trace_and_for_no_more_than_what_is_spare() -> None:
    limit = 5000
    task, row = new(None, {"p": "x" * (limit - len('{"p":""}') - len("A1001"))}, limit)
    task.carry({**TRACE, "tracestate": "v=" + "a" * 500, "more": "b"})
    assert task.headers == {**TRACE, "more": "b"}
    added = sum(len(name) + len(value) for name, value in task.headers.items())
    assert added < RECORD_OVERHEAD_BYTES - 1600
    assert len(row["payload"]) == limit - len("A1001")


def test_the_most_headers_have_room_for_a_trace() -> None:
    task, row = new({"big": "x" * (MAX_HEADERS_BYTES - 20)})
    task.carry({**TRACE, "tracestate": "v=" + "a" * 500})
    assert set(task.headers) == {"big", "traceparent"}
    assert len(row["headers"]) < 64 * 1024
