"""The one task that follows another: carried in its headers, and made a row when that is done."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import literal

from asyncflow.errors import InvalidArgumentsError, InvalidKeyError, OptionError, PayloadTooLargeError
from asyncflow.outbox.clock import NO_TIME, Instant
from asyncflow.outbox.declarations.handler_type import HandlerType, HandlerTypes
from asyncflow.outbox.encryption.encryption import Encryption
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.ids import shard_of
from asyncflow.outbox.message import RESULT, Call, FollowUp
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import FOLLOW_UP
from asyncflow.text import shown

MOST_BYTES = 24 * 1024  # beside the headers, which have MAX_HEADERS_BYTES, in MySQL's TEXT of 64 KiB
_MICROSECOND = timedelta(microseconds=1)


class Following(NamedTuple):
    """Hold a follow-up that is checked: the call, but for what the task before returns, which is its ``result_as``."""

    call: Call
    task_type: HandlerType
    result_as: str | None


def following(then: Any, outbox: object, handler_types: HandlerTypes) -> Following:
    """Check what is given as ``then=`` to a task of ``outbox``; raises a RefusedError or OptionError."""
    if not isinstance(then, FollowUp) or then.outbox is not outbox:
        raise OptionError(f"then is {shown(then)}; give a task of this outbox: then=task.later(argument=value)")
    if then.call.idempotency_key is not None:
        raise InvalidKeyError(
            "idempotency_key of a follow-up has no effect, for it comes once with the task before it; give it to that"
        )
    if then.call.unique_key is not None:
        raise InvalidKeyError(
            "unique_key of a follow-up has no effect, for it comes once with the task before it; give it to that"
        )
    task_type = handler_types.require(then.task_type)
    known = {name: value for name, value in then.call.arguments.items() if value is not RESULT}
    later = frozenset(then.call.arguments) - known.keys()
    if len(later) > 1:
        raise InvalidArgumentsError(f"RESULT is given for {', '.join(sorted(later))}; give it for one argument")
    call = replace(then.call, arguments=task_type.check(known, later))
    return Following(call, task_type, next(iter(later), None))


def with_follow_up(headers: str | None, row: Mapping[str, Any], call: Call, result_as: str | None) -> str:
    """Return headers that carry the row of a follow-up; raises PayloadTooLargeError.

    ``result_as`` names the argument that becomes the result of the task before.
    """
    delay: timedelta | None = row["next_select_time"] if call.run_at is None else None
    carried = {
        "id": str(row["id"]),
        "task_type": row["task_type"],
        "key": row["task_key"],
        "priority": row["priority"],
        "delay": None if delay is None else delay // _MICROSECOND,
        "run_at": None if call.run_at is None else call.run_at.astimezone(timezone.utc).isoformat(),
        "max_retries": row["max_retries"],
        "headers": None if row["headers"] is None else orjson.Fragment(row["headers"]),
        "arguments": None if is_encrypted(row["headers"]) else orjson.Fragment(row["payload"]),
        "result_as": result_as,
    }
    if carried["arguments"] is None:
        carried["encrypted"] = b64encode(row["payload"]).decode()
    body = orjson.dumps(carried)
    if len(body) > MOST_BYTES:
        raise PayloadTooLargeError(
            f"then: the follow-up {row['task_type']!r} is {len(body)} bytes, with those that follow it, at most "
            f"{MOST_BYTES}; give it a reference to what is stored elsewhere, or enqueue it in a transactional handler"
        )
    own = {} if headers is None else orjson.loads(headers)
    return orjson.dumps({**own, FOLLOW_UP: orjson.Fragment(body)}).decode()


def follow_up_in(headers: str | None) -> dict[str, Any] | None:
    """Return what headers carry of a follow-up; None if nothing follows."""
    if headers is None or not has_follow_up(headers):
        return None
    found: dict[str, Any] | None = orjson.loads(headers).get(FOLLOW_UP)
    return found


def has_follow_up(headers: str | None) -> bool:
    """Tell whether headers seem to carry a follow-up, at the cost of a look."""
    return headers is not None and FOLLOW_UP in headers


def takes_result(headers: str | None) -> bool:
    """Tell whether a follow-up is given the result."""
    carried = follow_up_in(headers)
    return carried is not None and carried["result_as"] is not None


def row_of_follow_up(
    carried: Mapping[str, Any], result: str | None, shard_count: int, encryption: Encryption
) -> dict[str, Any]:
    """Return the column values of a follow-up that may begin, with the result, a JSON text, of the task before.

    Raises EncryptionError where the result is to be put into arguments that cannot be decrypted here.
    """
    task_id = UUID(carried["id"])
    payload, headers = _body(carried, result, encryption)
    priority, due = carried["priority"], _due(carried)
    return {
        "id": task_id,
        "task_type": carried["task_type"],
        "task_key": carried["key"],
        "shard": shard_of(task_id, shard_count),
        "status": int(Status.PENDING),
        "priority": priority,
        "order_time": due or timedelta(seconds=-priority) if isinstance(due, timedelta) else due,
        "next_select_time": due,
        "retry_count": 0,
        "max_retries": carried["max_retries"],
        "headers": headers,
        "payload": payload,
        "schedule_log": None,
        "created_at": NO_TIME,
        "modified_at": NO_TIME,
    }


def _body(carried: Mapping[str, Any], result: str | None, encryption: Encryption) -> tuple[bytes, str | None]:
    """Return the arguments as they are written, and the headers beside them."""
    headers = None if carried["headers"] is None else orjson.dumps(carried["headers"]).decode()
    if carried["arguments"] is not None:
        return _with_result(carried["arguments"], carried["result_as"], result), headers
    content = b64decode(carried["encrypted"])
    if carried["result_as"] is None:
        return content, headers
    its = {"id": UUID(carried["id"]), "task_type": carried["task_type"], "key": carried["key"], "headers": headers}
    opened = encryption.open(its["id"], its["task_type"], its["key"], headers, content)
    whole = _with_result(orjson.loads(opened.payload), carried["result_as"], result)
    again = encryption.encrypt_again(its, whole)
    return again.payload, again.headers


def _with_result(arguments: Mapping[str, Any], result_as: str | None, result: str | None) -> bytes:
    if result_as is None:
        return orjson.dumps(arguments)
    return orjson.dumps({**arguments, result_as: orjson.Fragment(result or "null")})


def _due(carried: Mapping[str, Any]) -> Any:
    """Return a delay that begins now, or the moment that was given."""
    if carried["run_at"] is not None:
        return literal(datetime.fromisoformat(carried["run_at"]), Instant())
    return timedelta(microseconds=carried["delay"])
