"""Tasks as they travel."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Row

from asyncflow.outbox import payload as payloads
from asyncflow.outbox.message import CONTENT_TYPE
from asyncflow.outbox.status import Status
from asyncflow.scheduler.table.claim_owner import shown_owner
from asyncflow.scheduler.worker.claim_source import Claim

_EMPTY = orjson.Fragment(b"{}")


def claim_json(claim: Claim) -> dict[str, Any]:
    """Return a claimed task as the worker gets it; stored JSON passes unparsed."""
    task = claim.task
    return {
        "id": str(task.id),
        "task_type": task.task_type,
        "key": task.key,
        "arguments": _EMPTY if task.payload is None else orjson.Fragment(bytes(task.payload)),
        "headers": task.headers,
        "attempt": claim.attempt,
        "max_retries": task.max_retries,
        "stage": claim.stage,
        "context": None if claim.context is None else orjson.Fragment(claim.context),
        "token": str(claim.token),
    }


def state_json(row: Row[Any]) -> dict[str, Any]:
    """Return the state of a task, without what may be large."""
    return {
        "id": str(row.id),
        "task_type": row.task_type,
        "key": row.task_key,
        "status": Status(row.status).name,
        "stage": row.stage,
        "priority": row.priority,
        "attempt": row.retry_count,
        "retry_count": row.retry_count,
        "max_retries": row.max_retries,
        "owner": shown_owner(row.owner),
        "order_time": row.order_time,
        "next_select_time": row.next_select_time,
        "created_at": row.created_at,
        "modified_at": row.modified_at,
        "log": (row.schedule_log or "").splitlines(),
        "headers": {} if row.headers is None else orjson.loads(row.headers),
    }


def whole_json(row: Row[Any]) -> dict[str, Any]:
    """Return a task with its arguments and its context; what was published as bytes has no arguments."""
    state = state_json(row)
    is_json = state["headers"].get(CONTENT_TYPE, payloads.JSON) == payloads.JSON and row.payload is not None
    arguments = orjson.Fragment(bytes(row.payload)) if is_json else None
    context = None if row.context is None else orjson.Fragment(row.context)
    return {**state, "context": context, "arguments": arguments}
