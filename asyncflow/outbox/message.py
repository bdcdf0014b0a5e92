"""Messages at the door: checked whole, then turned into the values of a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import orjson
from sqlalchemy import literal

from asyncflow.errors import (
    InvalidDelayError,
    InvalidHeadersError,
    InvalidKeyError,
    InvalidPriorityError,
    InvalidRunAtError,
    OptionError,
    PayloadMissingError,
    PayloadTooLargeError,
)
from asyncflow.outbox import payload as payloads
from asyncflow.outbox.clock import MAX_DELAY_SECONDS, NO_TIME, Instant
from asyncflow.outbox.declarations.option_types import Follows
from asyncflow.outbox.declarations.task_type import MAX_RETRIES, MessageType, TaskType
from asyncflow.outbox.ids import new_place
from asyncflow.outbox.options import is_number, require_whole
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import KEY_LENGTH
from asyncflow.outbox.task import ALGORITHM, FOLLOW_UP, KEY_ID, OUTCOME_TO, UNIQUE_KEY
from asyncflow.text import require_text, shown

MAX_PRIORITY = 31_104_000  # seconds: 360 days, asyncflow's bound
MAX_HEADERS_BYTES = 32 * 1024  # with room to spare in MySQL's TEXT
# Of a record beside what max_message_bytes counts: what the broker's format adds, and the headers message-id,
# message-type (100 characters of up to 4 bytes) and content-type (255), 1,600 bytes at most; the rest is to spare.
RECORD_OVERHEAD_BYTES = 2048
MAX_MESSAGE_BYTES = 1_000_000 - RECORD_OVERHEAD_BYTES  # the least of the defaults of clients
CONTENT_TYPE = "content-type"
CAPTURED_HEADERS = "asyncflow-headers"  # of a captured message: all of its headers, as the row has them in JSON
RESERVED_HEADERS = frozenset(
    {"message-id", "message-type", CONTENT_TYPE, CAPTURED_HEADERS, FOLLOW_UP, OUTCOME_TO, ALGORITHM, KEY_ID, UNIQUE_KEY}
)


class _WhatIsReturned:
    """Stand for what is known when a task is done."""

    def __repr__(self) -> str:
        return "RESULT"


RESULT: Any = _WhatIsReturned()  # as an argument of a follow-up: what the task before it returned


@dataclass(frozen=True, slots=True)
class Message:
    """Describe one message for ``publish_many``."""

    payload: Any = None  # a JSON-able object, dataclass, pydantic model, or bytes; None if a builder makes it
    key: str | None = None  # business key: partition, order and look-up; up to 255 characters
    headers: Mapping[str, str] | None = None  # travel with the message
    priority: int = 0  # seconds by which it goes ahead of its time, 0 to 31,104,000
    delay_seconds: float | timedelta = 0  # not fetched before that
    content_type: str | None = None  # of the payload; application/json, or octet-stream for bytes
    idempotency_key: str | None = None  # no second message of its type with it is written; up to 255 characters


@dataclass(frozen=True, slots=True)
class Call:
    """Describe one task for ``enqueue_many``: a call of its handler, to be made later."""

    arguments: Mapping[str, Any]  # of the handler, by name; JSON-able
    key: str | None = None  # business key: look-up; up to 255 characters
    headers: Mapping[str, str] | None = None  # kept with the task
    priority: int = 0  # seconds by which it goes ahead of its time, 0 to 31,104,000
    delay_seconds: float | timedelta = 0  # not started before that
    run_at: datetime | None = None  # not started before that moment, in place of a delay
    idempotency_key: str | None = None  # a second task of its type with this key is not written; up to 255 characters
    max_retries: int | None = None  # attempts after the first; None: as many as its type has
    then: Follows | None = None  # comes when this one is done: task.later(...)
    unique_key: str | None = None  # no second task of its type with it while one waits or works; up to 255 characters


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Describe the one task that follows another; made by ``task.later(...)``, and given as ``then=``."""

    outbox: Any  # in which its type is declared
    task_type: str
    call: Call  # one argument may be RESULT


class Door(NamedTuple):
    """Hold what the checks at the door need to know of the outbox."""

    shard_count: int
    max_message_bytes: int


def call_row_of(call: Call, task_type: TaskType, door: Door) -> dict[str, Any]:
    """Return the column values of a new PENDING task with the call's arguments; raises a RefusedError."""
    message = Message(call.arguments, call.key, call.headers, call.priority, call.delay_seconds)
    row = row_of(message, task_type, door)
    if call.max_retries is not None:
        require_whole("max_retries", call.max_retries, 0, MAX_RETRIES)
        row["max_retries"] = call.max_retries
    if call.run_at is not None:
        # An expression, not an offset: the moment is the caller's, and no clock has to be asked for it.
        row["order_time"] = row["next_select_time"] = literal(_moment(call), Instant())
    return row


def row_of(message: Message, task_type: TaskType, door: Door) -> dict[str, Any]:
    """Return the column values of a new PENDING task; raises a RefusedError if the message is at fault."""
    key = None if message.key is None else require_text("key", message.key, KEY_LENGTH, InvalidKeyError)
    body, headers = _body_and_headers(message, task_type)
    _require_size(message, body, headers, door.max_message_bytes - event_bytes(task_type, body, key, headers))
    delay = _delay(message.delay_seconds)
    is_ordered = isinstance(task_type, MessageType) and task_type.ordered
    if is_ordered:
        _require_order(message, task_type.name)
    task_id, shard = new_place(door.shard_count, key if is_ordered else None)
    if isinstance(task_type, MessageType) and task_type.captured:
        _require_now(message, task_type.name)
    return {
        "id": task_id,
        "task_type": task_type.name,
        "task_key": key,
        "shard": shard,
        "status": int(Status.PENDING),
        "priority": _priority(message.priority),
        # Never earlier than the row may be fetched: a page would otherwise read rows that it must skip.
        "order_time": delay or timedelta(seconds=-message.priority),
        "next_select_time": delay,
        "retry_count": 0,
        "max_retries": task_type.max_retries,
        "headers": headers,
        "payload": body,
        "schedule_log": None,
        "created_at": NO_TIME,
        "modified_at": NO_TIME,
    }


def _body_and_headers(message: Message, task_type: TaskType) -> tuple[bytes | None, str | None]:
    headers = _headers(message.headers)
    if message.payload is None:
        if not isinstance(task_type, MessageType) or task_type.builder is None:
            raise PayloadMissingError(
                f"payload of {task_type.name!r} is None; give one, or a builder: @outbox.message({task_type.name!r})"
            )
        body, content_type = None, payloads.JSON
    else:
        body, content_type = payloads.encode(message.payload)
    content_type = _content_type(message.content_type) or content_type
    if content_type != payloads.JSON:
        headers[CONTENT_TYPE] = content_type
    return body, orjson.dumps(headers).decode() if headers else None


def _require_order(message: Message, name: str) -> None:
    """Refuse what leaves no order: a message of no key, and one that is to overtake or to wait."""
    if message.key is None:
        raise InvalidKeyError(f"key is None, but {name!r} is ordered; give the key within which order is to hold")
    if message.priority:
        raise InvalidPriorityError(f"priority is {message.priority}, but {name!r} is ordered; leave it out")
    if message.delay_seconds:
        raise InvalidDelayError(f"delay_seconds is {message.delay_seconds!r}, but {name!r} is ordered; leave it out")


def _require_now(message: Message, name: str) -> None:
    """Refuse what is to overtake or to wait, where a row is read as soon as it is committed."""
    if message.priority:
        raise InvalidPriorityError(f"priority is {message.priority}, but {name!r} is captured; leave it out")
    if message.delay_seconds:
        raise InvalidDelayError(f"delay_seconds is {message.delay_seconds!r}, but {name!r} is captured; leave it out")


def _headers(headers: Any) -> dict[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, Mapping):
        raise InvalidHeadersError(f"headers is {shown(headers)}; give a mapping of text to text")
    return dict(_header(name, value) for name, value in headers.items())


def _header(name: Any, value: Any) -> tuple[str, str]:
    name = require_text("header name", name, KEY_LENGTH, InvalidHeadersError)
    if name.lower() in RESERVED_HEADERS:
        remedy = "use content_type=" if name.lower() == CONTENT_TYPE else "choose another name"
        raise InvalidHeadersError(f"header {name!r} is written by asyncflow itself; {remedy}")
    if not isinstance(value, str) or any(0xD800 <= ord(character) < 0xE000 for character in value):
        raise InvalidHeadersError(f"header {name!r} is {shown(value)}; give text")
    return name, str.__str__(value)


def _content_type(content_type: Any) -> str | None:
    if content_type is None:
        return None
    return require_text("content_type", content_type, KEY_LENGTH, InvalidHeadersError)


def _require_size(message: Message, body: bytes | None, headers: str | None, limit: int) -> None:
    headers_bytes = len(headers.encode()) if headers else 0
    if headers_bytes > MAX_HEADERS_BYTES:
        raise InvalidHeadersError(
            f"headers are {headers_bytes} bytes; at most {MAX_HEADERS_BYTES}, put the rest in the payload"
        )
    size = size_of(body, message.key, headers)
    if size > limit:
        raise PayloadTooLargeError(
            f"payload: the message is {size} bytes with its key and headers, the limit is {limit}; publish a reference "
            f"to a stored body, or raise Outbox(max_message_bytes=...), and the client's and broker's limits with it"
        )


def event_bytes(task_type: TaskType, body: bytes | None, key: str | None, headers: str | None) -> int:
    """Return how many bytes a message gains at most by travelling as an event; 0 for one that does not."""
    events = task_type.cloudevents if isinstance(task_type, MessageType) else None
    if events is None:
        return 0
    added = events.most_added_bytes(task_type.name, len((key or "").encode()), len((headers or "").encode()))
    is_json = headers is None or not (f'"{CONTENT_TYPE}":' in headers or f'"{ALGORITHM}":' in headers)
    in_base64 = 0 if events.mode == "binary" or is_json else len(body or b"") // 3 + 4
    return added + in_base64


def size_of(body: bytes | None, key: str | None, headers: str | None) -> int:
    """Return the bytes of a message that its limit counts: of the headers those given, as JSON, which is the longer."""
    if headers is not None and f'"{CONTENT_TYPE}":' in headers:
        given = orjson.loads(headers)
        del given[CONTENT_TYPE]
        headers = orjson.dumps(given).decode() if given else None
    return len(body or b"") + len((key or "").encode()) + len((headers or "").encode())


def _priority(priority: Any) -> int:
    if isinstance(priority, bool) or not isinstance(priority, int) or not 0 <= priority <= MAX_PRIORITY:
        raise InvalidPriorityError(f"priority is {shown(priority)}; give whole seconds from 0 to {MAX_PRIORITY}")
    return priority


def _delay(delay: Any) -> timedelta:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not is_number(seconds) or not 0 <= seconds <= MAX_DELAY_SECONDS:
        raise InvalidDelayError(
            f"delay_seconds is {shown(delay)}; give seconds from 0 to {MAX_DELAY_SECONDS:.0f}, or a timedelta"
        )
    return timedelta(seconds=seconds)


def _moment(call: Call) -> datetime:
    if call.delay_seconds:
        raise InvalidRunAtError("run_at and delay_seconds are both given; give one of them")
    if not isinstance(call.run_at, datetime) or call.run_at.utcoffset() is None:
        raise InvalidRunAtError(f"run_at is {shown(call.run_at)}; give a datetime with a time zone")
    try:
        return call.run_at.astimezone(timezone.utc)
    except OverflowError:
        raise InvalidRunAtError(
            f"run_at is {shown(call.run_at)}, which is no moment of the years 1 to 9999 in UTC"
        ) from None


def listed(given: Any, kind: type[Any]) -> list[Any]:
    """Return what was given as a list of messages or calls; raises OptionError."""
    name = f"{kind.__name__.lower()}s"
    if not isinstance(given, Iterable):
        raise OptionError(f"{name} is {shown(given)}; give a list or another iterable of {kind.__name__} objects")
    found = list(given)
    for one in found:
        if not isinstance(one, kind):
            raise OptionError(f"{name} holds {shown(one)}; give {_EXAMPLES[kind]} objects")
    return found


_EXAMPLES = {Message: "Message(payload, key=...)", Call: "Call({'argument': value}, key=...)"}
