"""Tasks as they travel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Row

from asyncflow.outbox import payload as payloads
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.message import CONTENT_TYPE
from asyncflow.outbox.outcome.follow_up import follow_up_in, has_follow_up, takes_result
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import RESULT_STAGE
from asyncflow.outbox.task import headers_of
from asyncflow.scheduler.table.claim_owner import shown_owner
from asyncflow.scheduler.worker.claiming.claim import Claim

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
        **_follow_up_json(task.headers_json),
    }


def lying_in(database: str | None) -> dict[str, str]:
    """Return where a task lies, for an answer of several databases; nothing of one alone."""
    return {} if database is None else {"database": database}


def left_out(away: Sequence[str]) -> dict[str, list[str]]:
    """Return which databases an answer leaves out, if it does."""
    return {"away": list(away)} if away else {}


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
        "headers": headers_of(row.headers),
        "follow_up": _following(row.headers),
    }


def whole_json(row: Row[Any]) -> dict[str, Any]:
    """Return a task with its arguments and its context; what was published as bytes, or encrypted, has none."""
    state = state_json(row)
    is_json = state["headers"].get(CONTENT_TYPE, payloads.JSON) == payloads.JSON and row.payload is not None
    if is_encrypted(row.headers):  # what is in it goes to who works on it, and to nobody who looks
        is_json, state["encrypted"] = False, True
    arguments = orjson.Fragment(bytes(row.payload)) if is_json else None
    context = None if row.context is None else orjson.Fragment(row.context)
    if row.status == Status.SUCCESS and row.stage == RESULT_STAGE:
        return {**state, "context": None, "result": context, "arguments": arguments}
    return {**state, "context": context, "arguments": arguments}


def _follow_up_json(headers: str | None) -> dict[str, Any]:
    """Return what a worker must know of the task that follows: that there is one, and whether it takes the result."""
    if not has_follow_up(headers):
        return {}
    return {"is_followed": True, "wants_result": takes_result(headers)}


def _following(headers: str | None) -> dict[str, Any] | None:
    follows = follow_up_in(headers)
    return None if follows is None else {"id": follows["id"], "task_type": follows["task_type"]}
