"""The door: a message becomes a row, or is refused with a text that helps."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from enum import Enum
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.errors import (
    InvalidDelayError,
    InvalidHeadersError,
    InvalidKeyError,
    InvalidPriorityError,
    InvalidRunAtError,
    PayloadMissingError,
    PayloadNotSerializableError,
    PayloadTooLargeError,
    RefusedError,
)
from asyncflow.outbox import Call, HandlerType, Message, MessageType, Status, task_table
from asyncflow.outbox.ids import shard_of
from asyncflow.outbox.message import MAX_HEADERS_BYTES, MAX_PRIORITY, Door, call_row_of, row_of

DOOR = Door(64, 1000)
PLAIN = MessageType(name="user.registered", destination="kafka", topic="users", max_retries=7)
BUILT = MessageType(name="user.built", destination="kafka", topic="users")
HANDLED = HandlerType(name="issue_coupon")
BUILT(lambda session, tasks: [None for _ in tasks])


def row(payload: Any = 1, **values: Any) -> dict[str, Any]:
    return row_of(Message(payload, **values), PLAIN, DOOR)


def test_a_row_has_a_value_for_each_column_but_the_workers() -> None:
    from sqlalchemy import MetaData

    from asyncflow.outbox.tables import WORKER_COLUMNS

    assert row().keys() == {column.name for column in task_table(MetaData()).columns} - WORKER_COLUMNS


def test_a_new_task_is_pending_and_due_at_once() -> None:
    values = row({"a": 1}, key="A1001")
    assert values["status"] == Status.PENDING
    assert values["task_type"] == "user.registered"
    assert values["task_key"] == "A1001"
    assert values["payload"] == b'{"a":1}'
    assert values["headers"] is None
    assert values["max_retries"] == 7
    assert values["retry_count"] == 0
    assert values["shard"] == shard_of(values["id"], 64)
    times = ("order_time", "next_select_time", "created_at", "modified_at")
    assert {values[name] for name in times} == {timedelta(0)}


def test_priority_orders_a_task_before_its_time() -> None:
    values = row(priority=30)
    assert values["priority"] == 30
    assert values["order_time"] == timedelta(seconds=-30)
    assert values["next_select_time"] == timedelta(0)


def test_delay_moves_both_times() -> None:
    values = row(delay_seconds=1.5)
    assert values["order_time"] == values["next_select_time"] == timedelta(seconds=1.5)


def test_a_delayed_task_is_not_ordered_before_it_may_be_fetched() -> None:
    values = row(delay_seconds=60, priority=3600)
    assert values["order_time"] == values["next_select_time"] == timedelta(seconds=60)


@given(st.integers(0, 31_104_000))
def test_order_time_is_the_time_of_the_enqueue_less_the_priority(priority: int) -> None:
    values = row(priority=priority)
    assert values["order_time"] == -timedelta(seconds=priority)
    assert values["next_select_time"] == timedelta(0)


@given(st.integers(0, 31_104_000), st.floats(1e-6, 3650 * 86400))
def test_order_time_is_never_before_a_delayed_task_may_be_fetched(priority: int, delay: float) -> None:
    values = row(priority=priority, delay_seconds=delay)
    assert values["order_time"] == values["next_select_time"] == timedelta(seconds=delay)


def test_delay_may_be_a_timedelta() -> None:
    assert row(delay_seconds=timedelta(hours=1))["next_select_time"] == timedelta(hours=1)


def test_headers_are_kept_as_json() -> None:
    assert orjson.loads(row(headers={"Trace": "a\x00b", "é": "😀", "empty": ""})["headers"]) == {
        "Trace": "a\x00b",
        "é": "😀",
        "empty": "",
    }


@pytest.mark.parametrize("headers", [None, {}])
def test_no_headers_take_no_room(headers: Any) -> None:
    assert row(headers=headers)["headers"] is None


def test_headers_may_be_any_mapping() -> None:
    headers: Mapping[str, str] = UserDict(trace="1")
    assert orjson.loads(row(headers=headers)["headers"]) == {"trace": "1"}


@pytest.mark.parametrize(
    ("payload", "content_type", "kept"),
    [
        ({"a": 1}, None, None),
        (b"a", None, "application/octet-stream"),
        (b"a", "image/png", "image/png"),
        (b"{}", "application/json", None),
        ({"a": 1}, "application/vnd.shop+json", "application/vnd.shop+json"),
    ],
)
def test_the_content_type_is_a_header_unless_it_is_plain_json(payload: Any, content_type: Any, kept: Any) -> None:
    headers = row(payload, content_type=content_type)["headers"]
    assert (None if headers is None else orjson.loads(headers)["content-type"]) == kept


def test_a_type_with_a_builder_needs_no_payload() -> None:
    assert row_of(Message(key="A1001"), BUILT, DOOR)["payload"] is None


def test_a_type_without_builder_needs_a_payload() -> None:
    with pytest.raises(PayloadMissingError, match=r"payload of 'user.registered' is None; give one, or a builder"):
        row(None)


class Word(str, Enum):
    KEY = "A1001"
    NAME = "trace"
    VALUE = "1"


def test_enums_of_text_are_kept_as_their_plain_values() -> None:
    values = row(Word.VALUE, key=Word.KEY, headers={Word.NAME: Word.VALUE}, content_type=Word.NAME)
    assert values["payload"] == b'"1"'
    assert values["headers"] == '{"trace":"1","content-type":"trace"}'
    assert (type(values["task_key"]), values["task_key"]) == (str, "A1001")


def test_a_type_named_by_an_enum_has_the_plain_name() -> None:
    declared = MessageType(name=Word.NAME, destination=Word.KEY, topic=Word.VALUE)
    kept = (declared.name, declared.destination, declared.topic)
    assert [(type(text), text) for text in kept] == [(str, "trace"), (str, "A1001"), (str, "1")]


@pytest.mark.parametrize("priority", [-1, MAX_PRIORITY + 1, 0.5, "1", True, None, float("nan")])
def test_a_priority_out_of_range_is_refused(priority: Any) -> None:
    with pytest.raises(InvalidPriorityError) as refused:
        row(priority=priority)
    assert str(refused.value) == f"priority is {priority!r}; give whole seconds from 0 to 31104000"


@pytest.mark.parametrize(
    "delay",
    [
        -1,
        -0.001,
        timedelta(microseconds=-1),
        315_360_001,
        timedelta(days=3651),
        float("nan"),
        float("inf"),
        "1",
        True,
        None,
    ],
)
def test_a_delay_out_of_range_is_refused(delay: Any) -> None:
    with pytest.raises(InvalidDelayError) as refused:
        row(delay_seconds=delay)
    assert str(refused.value).startswith(f"delay_seconds is {delay!r:.60}")
    assert str(refused.value).endswith("give seconds from 0 to 315360000, or a timedelta")


def test_numbers_of_any_size_are_refused_by_name() -> None:
    for huge in (10**400, 10**5000):
        with pytest.raises(InvalidDelayError, match="give seconds from 0"):
            row(delay_seconds=huge)
        with pytest.raises(InvalidPriorityError, match="give whole seconds from 0"):
            row(priority=huge)


@pytest.mark.parametrize("delay", [0, 0.0, 315_360_000, timedelta(days=3650)])
def test_the_bounds_of_a_delay_are_allowed(delay: Any) -> None:
    assert row(delay_seconds=delay)["status"] == Status.PENDING


@pytest.mark.parametrize("key", ["", " ", " a", "a ", "a" * 256, "a\x00", "\ud800", 5, b"A1001"])
def test_a_bad_key_is_refused(key: Any) -> None:
    with pytest.raises(InvalidKeyError, match=r"^key is .*; give text of 1 to 255 characters$"):
        row(key=key)


@pytest.mark.parametrize(
    ("headers", "fault", "remedy"),
    [
        ([("a", "b")], "headers is [('a', 'b')]", "give a mapping of text to text"),
        ([], "headers is []", "give a mapping of text to text"),
        ("", "headers is ''", "give a mapping of text to text"),
        (0, "headers is 0", "give a mapping of text to text"),
        ({"": "a"}, "header name is '': empty", "give text of 1 to 255 characters"),
        ({1: "a"}, "header name is 1: an int", "give text of 1 to 255 characters"),
        ({"a": 1}, "header 'a' is 1", "give text"),
        ({"a": None}, "header 'a' is None", "give text"),
        ({"a": b"b"}, "header 'a' is b'b'", "give text"),
        ({"a": "\ud800"}, "header 'a' is '\\ud800'", "give text"),
        ({"content-type": "a"}, "header 'content-type' is written by asyncflow", "use content_type="),
        ({"Content-Type": "a"}, "header 'Content-Type' is written by asyncflow", "use content_type="),
        ({"message-id": "a"}, "header 'message-id' is written by asyncflow", "choose another name"),
        ({"MESSAGE-TYPE": "a"}, "header 'MESSAGE-TYPE' is written by asyncflow", "choose another name"),
        ({"a": "b" * MAX_HEADERS_BYTES}, "headers are 32776 bytes; at most 32768", "put the rest in the payload"),
    ],
)
def test_bad_headers_are_refused(headers: Any, fault: str, remedy: str) -> None:
    with pytest.raises(InvalidHeadersError) as refused:
        row_of(Message(1, headers=headers), PLAIN, Door(64, 1024 * 1024))
    assert fault in str(refused.value)
    assert str(refused.value).endswith(remedy)


@pytest.mark.parametrize("content_type", ["", " ", "a" * 256, 5, b"text/plain", "a\x00"])
def test_a_bad_content_type_is_refused(content_type: Any) -> None:
    with pytest.raises(InvalidHeadersError, match=r"^content_type is .*; give text of 1 to 255 characters$"):
        row(content_type=content_type)


@pytest.mark.parametrize("size", [0, 1, 998])
def test_a_message_up_to_the_limit_passes(size: int) -> None:
    assert len(row("a" * size)["payload"]) == size + 2


@pytest.mark.parametrize(
    "message",
    [
        Message("a" * 999),
        Message("a" * 990, key="k" * 9),
        Message("a" * 990, headers={"a": "b"}),
        Message("é" * 500),
        Message(b"a" * 1001, content_type="application/json"),
        Message(b"a" * 1001),
        Message("a" * 990, key="😀😀😀"),
    ],
)
def test_a_message_over_the_limit_is_refused_with_its_size(message: Message) -> None:
    with pytest.raises(PayloadTooLargeError) as refused:
        row_of(message, PLAIN, DOOR)
    text = str(refused.value)
    assert text.startswith("payload: the message is ")
    assert "the limit is 1000" in text
    assert "raise Outbox(max_message_bytes=...)" in text


@pytest.mark.parametrize("content_type", [None, "application/avro", "x" * 255])
def test_the_header_of_the_content_type_is_not_counted(content_type: str | None) -> None:
    assert row_of(Message(b"a" * 1000, content_type=content_type), PLAIN, DOOR)["headers"]
    with pytest.raises(PayloadTooLargeError, match="the message is 1001 bytes"):
        row_of(Message(b"a" * 1001, content_type=content_type), PLAIN, DOOR)


def test_a_payload_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(PayloadNotSerializableError):
        row({1, 2})


def test_every_refusal_is_a_value_error_of_one_family() -> None:
    assert issubclass(RefusedError, ValueError)


class Nowhere(tzinfo):
    """Be a zone that tells no offset: a time with it is naive, and would be read in this machine's zone."""

    def utcoffset(self, _: datetime | None) -> None: ...

    def dst(self, _: datetime | None) -> None: ...

    def tzname(self, _: datetime | None) -> None: ...


@pytest.mark.parametrize("zone", [None, Nowhere()], ids=["none", "without an offset"])
def test_a_moment_that_names_no_offset_is_refused(zone: tzinfo | None) -> None:
    with pytest.raises(InvalidRunAtError, match="with a time zone"):
        call_row_of(Call({}, run_at=datetime(2030, 1, 1, tzinfo=zone)), HANDLED, DOOR)
