"""Tasks in the field names of the original task service, for its clients."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row

from asyncflow.integrations.flowsvr.door.problems import Problem
from asyncflow.integrations.flowsvr.door.reading import require_few_values
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.status import Status
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim

# Its numbers begin at 1; it has no word for a task that was taken back.
NUMBERS = {
    Status.PENDING: 1,
    Status.PROCESSING: 2,
    Status.SUCCESS: 3,
    Status.FAILED: 4,
    Status.CANCELLED: 5,
}
STATUSES = {number: status for status, number in NUMBERS.items()}
_LONG = 19  # characters of a number; shorter ones are within 64 bits, and a context may hold millions
STAGE_HEADER, TEXT_ARGUMENT = "task-stage", "task_context"


def task_of_row(row: Row[Any], kind: HandlerType) -> dict[str, Any]:
    """Return a task of a type as ``task_data``."""
    return {
        "task_id": str(row.id),
        **_work(row.task_type, row.task_key, row.stage, row.context, row.headers, row.payload),
        **_course(row, kind),
    }


def task_of_claim(claim: Claim, row: Row[Any], kind: HandlerType) -> dict[str, Any]:
    """Return a held task and its row; its ``task_id`` carries the claim token, which its clients send back with it."""
    task = claim.task
    return {
        "task_id": f"{task.id}_{claim.token}",
        **_work(task.task_type, task.key, claim.stage, claim.context, task.headers_json, task.payload),
        **_course(row, kind),
        "status": NUMBERS[Status.PROCESSING],
        "crt_retry_num": task.retry_count,
    }


def _course(row: Row[Any], kind: HandlerType) -> dict[str, Any]:
    """Return how it went with a task so far."""
    failures = max(0, row.retry_count - (row.status == Status.PROCESSING))
    return {
        "status": NUMBERS[Status(row.status)],
        "priority": row.priority,
        "crt_retry_num": failures,
        "max_retry_num": kind.most_retries(row.max_retries),
        "max_retry_interval": _interval_after(failures, kind),
        "schedule_log": row.schedule_log or "",
        "order_time": int(_order_time(row).timestamp()),
        "create_time": _moment(row.created_at),
        "modify_time": _moment(row.modified_at),
    }


def _order_time(row: Row[Any]) -> datetime:
    """Return by when a task goes; of a held one the table has the end of its claim there."""
    if row.status != Status.PROCESSING:
        moment: datetime = row.order_time
        return moment
    return row.modified_at - timedelta(seconds=row.priority)  # type: ignore[no-any-return]


def _interval_after(failures: int, kind: HandlerType) -> int:
    """Return the interval in force after so many failures; the original's worker doubles it before it waits."""
    doubled = kind.retry_interval_seconds * 2.0 ** min(failures, 30)
    return math.ceil(min(doubled, kind.max_retry_interval_seconds))


def held_of(task_id: str) -> HeldClaim:
    """Return the claim that a held task's ``task_id`` names; raises Problem 422."""
    plain, _, token = task_id.partition("_")
    try:
        return HeldClaim(UUID(plain), UUID(token))
    except ValueError:
        raise Problem(422, "task_id carries no claim; send the task_id that hold_tasks gave", field="task_id") from None


def id_of(task_id: str) -> UUID:
    """Return the task's id, from what its creation or a hold gave; raises Problem 422."""
    try:
        return UUID(task_id.partition("_")[0])
    except ValueError:
        raise Problem(422, "task_id is no id; send the one that create_task gave", field="task_id") from None


def json_or_text(context: str) -> Any:
    """Return what a ``context`` holds: JSON, or the text itself; raises Problem 413 for very many objects and lists."""
    require_few_values(context.encode(errors="surrogatepass"))
    try:
        return orjson.loads(context)
    except orjson.JSONDecodeError:
        return context


def work_of(context: str) -> Any:
    """Return the object or list that a ``context`` from a client holds, or the text itself.

    Also of JSON that would not come back as it is: of more digits than we keep, or with a name twice in one object.
    """
    held = json_or_text(context)
    if not isinstance(held, (dict, list)):
        return context
    try:
        json.loads(context, parse_int=_whole, parse_float=_exact, object_pairs_hook=_named_once)
    except (ValueError, RecursionError):
        return context
    return held


def _whole(text: str) -> None:
    if len(text) >= _LONG and not -(2**63) <= int(text) < 2**64:
        raise ValueError(text)


def _exact(text: str) -> None:
    if repr(float(text)) != text and Decimal(text) != Decimal(repr(float(text))):
        raise ValueError(text)


def _named_once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name is given twice")


def arguments_of(context: str) -> dict[str, Any]:
    """Return the arguments that a ``task_context`` stands for: its own fields if it is a JSON object."""
    held = work_of(context) if context else {}
    return held if isinstance(held, dict) else {TEXT_ARGUMENT: context}


def config_of(kind: HandlerType) -> dict[str, Any]:
    """Return the options in force of a task type, in the names of ``t_schedule_cfg``."""
    return {
        "task_type": kind.name,
        "schedule_limit": kind.most_claimed,
        "schedule_interval": math.ceil(kind.interval_seconds or 0),
        "max_processing_time": math.ceil(kind.max_processing_time_seconds),
        "max_retry_num": kind.max_retries,
        "retry_interval": math.ceil(kind.retry_interval_seconds),
        "max_retry_interval": math.ceil(kind.max_retry_interval_seconds),
        "create_time": None,
        "modify_time": None,
    }


def _work(
    task_type: str, key: str | None, stage: str | None, context: str | None, headers: str | None, payload: Any
) -> dict[str, Any]:
    text = shown_context(context, None if is_encrypted(headers) else payload)
    first_stage = orjson.loads(headers).get(STAGE_HEADER, "") if headers else ""
    return {
        "user_id": key or "",
        "task_type": task_type,
        "task_stage": stage or first_stage,
        "context": text,
        "task_context": text,
    }


def shown_context(context: str | None, payload: Any) -> str:
    """Return a task's context as its clients see it: that of the last checkpoint, or its arguments."""
    return _text(context) if context is not None else _text_of_arguments(payload)


def _text(context: str) -> str:
    """Return a context as text: one that is text itself without its quotes."""
    held = json_or_text(context)
    return held if isinstance(held, str) else context


def _text_of_arguments(payload: Any) -> str:
    text = bytes(payload or b"").decode(errors="replace")
    parsed = json_or_text(text)
    if isinstance(parsed, dict) and parsed.keys() == {TEXT_ARGUMENT}:
        return str(parsed[TEXT_ARGUMENT])
    return "" if parsed == {} else text


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
