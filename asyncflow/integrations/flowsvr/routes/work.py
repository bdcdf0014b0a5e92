"""Routes of workers: hold, renew, set, checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Row
from starlette.responses import Response

from asyncflow.errors import ClaimLostError, InvalidStageError
from asyncflow.integrations.flowsvr.door.access import Served, WorkerCaller, require_type
from asyncflow.integrations.flowsvr.door.bodies import HoldTasks, OneOutcome, RenewClaims, SetTasks, WriteCheckpoint
from asyncflow.integrations.flowsvr.door.checks import (
    lease_of,
    require_few,
    require_once,
    require_unlocked,
    worker_name,
)
from asyncflow.integrations.flowsvr.door.problems import Json, Problem, responses
from asyncflow.integrations.flowsvr.door.route import GuardedRoute
from asyncflow.integrations.flowsvr.door.tokens import Token
from asyncflow.integrations.flowsvr.handover import HandedOver
from asyncflow.integrations.flowsvr.routes.answers import (
    CheckpointWritten,
    ClaimsRenewed,
    GivenTasks,
    OutcomesWritten,
    OutcomeWritten,
)
from asyncflow.integrations.flowsvr.routes.tasks import IdPath
from asyncflow.integrations.flowsvr.together.one_database import OneDatabase
from asyncflow.integrations.flowsvr.together.several_databases import SeveralDatabases
from asyncflow.integrations.flowsvr.waiting_holds import waits
from asyncflow.integrations.flowsvr.wire import claim_json, lying_in, state_json
from asyncflow.outbox import Outbox
from asyncflow.outbox import payload as payloads
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_outcomes import SettledClaim
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.task_context import stage_of

router = APIRouter(route_class=GuardedRoute, tags=["work"])


@router.post("/v2/tasks/hold", response_model=GivenTasks, responses=responses())
async def hold_tasks(body: HoldTasks, request: Request, served: Served, token: WorkerCaller) -> Response:
    """Claim due tasks for this worker alone, of all databases; wait for some if there are none."""
    for name in body.limits:
        require_type(token, name, "limits")
    worker, lease = worker_name(body.worker), lease_of(body.lease_seconds, served.settings)
    unknown = await served.unknown(body.limits)
    wanted = {name: most for name, most in body.limits.items() if served.is_held(name)}
    limits = _limits(wanted, served.settings.max_hold)
    if body.wait_seconds > served.settings.max_wait_seconds:
        most = served.settings.max_wait_seconds
        raise Problem(422, f"wait_seconds is {body.wait_seconds:g}; give at most {most:g}", field="wait_seconds")
    until = time.monotonic() + body.wait_seconds
    while not (claims := await _hold(served, worker, limits, lease)):
        seconds = until - time.monotonic()
        if seconds <= 0 or served.is_stopping:
            break
        is_there = await waits(request, served.wait(limits.keys(), seconds))
        if served.is_stopping or not is_there or not served.tokens.know(token):
            break  # what nobody receives, or may receive any more, should be claimed by nobody
    rest = {"lease_seconds": lease, "unknown": unknown}
    return HandedOver(
        lambda: {"tasks": [{**claim_json(one), **lying_in(served.database_of(one.task.id))} for one in claims], **rest},
        claims,
        served.handover,
    )


@router.post("/v2/tasks/renew", response_model=ClaimsRenewed, responses=responses())
async def renew_claims(body: RenewClaims, served: Served, token: WorkerCaller) -> Response:
    """Let claims last for another lease; name those that are lost, and those that somebody else has locked."""
    require_few("claims", body.claims, served.settings.max_batch)
    require_once("claims", [claim.id for claim in body.claims])
    lease = lease_of(body.lease_seconds, served.settings)
    renewed = await served.renew([claim.held() for claim in body.claims], lease, token)
    locked = {"locked": [str(task_id) for task_id in renewed.locked]} if renewed.locked else {}
    lost = set(renewed.lost)
    return Json({"lost": [str(claim.id) for claim in body.claims if claim.id in lost], **locked})


@router.post("/v2/tasks/set", response_model=OutcomesWritten, responses=responses())
async def set_tasks(body: SetTasks, served: Served, token: WorkerCaller) -> Response:
    """Write what became of tasks, in one transaction; those whose claim is lost are left as they are.

    So are those that somebody else has ``locked``; these are to be set again. Of several databases each has its own
    transaction, and the tasks of one that does not answer are as locked.
    """
    require_few("outcomes", body.outcomes, served.settings.max_batch)
    require_once("outcomes", [outcome.id for outcome in body.outcomes])
    settled, states = await served.settle([outcome.told(outcome.id) for outcome in body.outcomes], token)
    return Json({"results": [_result(one, seen_by(token, states)) for one in settled]})


@router.put("/v2/tasks/{task_id:uuid}/outcome", response_model=OutcomeWritten, responses=responses(404, 409))
async def set_task(task_id: IdPath, body: OneOutcome, served: Served, token: WorkerCaller) -> Response:
    """Write what became of one task; 409 with its current state if the claim is lost, 503 if its row is locked."""
    (settled,), states = await served.settle([body.told(task_id)], token)
    require_unlocked(settled)
    if settled.verdict is None:
        raise _lost(task_id, seen_by(token, states).get(task_id))
    return Json(_result(settled, states))


@router.put("/v2/tasks/{task_id:uuid}/checkpoint", response_model=CheckpointWritten, responses=responses(404, 409))
async def write_checkpoint(task_id: IdPath, body: WriteCheckpoint, served: Served, token: WorkerCaller) -> Response:
    """Write how far the work has come; 409 with the current state if the claim is lost."""
    stage = stage_of(body.stage)
    lease = None if body.lease_seconds is None else lease_of(body.lease_seconds, served.settings)
    held, context = HeldClaim(task_id, body.token), context_text(served.outbox, body.context)
    if not await served.are_own(task_id, token):
        raise _lost(task_id, None)
    try:
        await served.checkpoint(held, stage, context, lease)
    except ClaimLostError:
        states = await served.states(task_id)
        raise _lost(task_id, seen_by(token, states).get(task_id)) from None
    return Json({"id": str(task_id), "stage": stage})


def seen_by(token: Token, states: Mapping[UUID, Row[Any]]) -> dict[UUID, Row[Any]]:
    """Return those of some rows that the caller may see: whoever names a foreign task learns nothing of it."""
    return {task_id: row for task_id, row in states.items() if token.may_use(row.task_type)}


async def _hold(
    served: OneDatabase | SeveralDatabases, worker: str, limits: Mapping[str, int], lease: float
) -> list[Claim]:
    return await served.hold(worker, limits, lease) if limits else []


def _limits(wanted: Mapping[str, int], room: int) -> dict[str, int]:
    """Return the limits, together no more than there is room for."""
    limits = {}
    for name, most in wanted.items():
        if room > 0:
            limits[name] = min(most, room)
            room -= limits[name]
    return limits


def context_text(outbox: Outbox, context: Any) -> str | None:
    """Return a context as the row holds it; raises InvalidStageError."""
    if context is None:
        return None
    text, most = payloads.encode(context)[0].decode(), outbox.max_message_bytes
    if len(text.encode()) > most:
        raise InvalidStageError(f"context is larger than {most} bytes; store it elsewhere and keep a reference")
    return text


def _result(settled: SettledClaim, states: Mapping[UUID, Row[Any]]) -> dict[str, Any]:
    task_id = settled.held.id
    if settled.verdict is not None:
        return {"id": str(task_id), "settled": True, "status": settled.verdict.status.name}
    row = states.get(task_id)
    state = {"status": None} if row is None else state_json(row)
    return {**state, "id": str(task_id), "settled": False, **({"locked": True} if settled.is_locked else {})}


def _lost(task_id: UUID, row: Row[Any] | None) -> Problem:
    if row is None:
        return Problem(409, f"there is no task {task_id} any more; nothing was written", id=str(task_id))
    state = state_json(row)
    now = state.pop("status")
    detail = f"the claim on task {task_id} is lost: it is {now} now; nothing was written"
    return Problem(409, detail, state={**state, "status": now}, id=str(task_id))
