"""The routes of the original task service, by its names: ``{"code": 0, "msg": "", ...}``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from asyncflow.errors import ClaimLostError, InvalidStageError
from asyncflow.integrations.flowsvr.door.access import Admin, Anyone, Producer, Service, Worker
from asyncflow.integrations.flowsvr.door.bodies import Key, TypeName, Whole
from asyncflow.integrations.flowsvr.door.problems import Json, Problem, responses
from asyncflow.integrations.flowsvr.handover import HandedOver
from asyncflow.integrations.flowsvr.routes.tasks import COUNT_LIMIT, plain_text
from asyncflow.integrations.flowsvr.routes.work import context_text
from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.integrations.flowsvr.v1.original import (
    NUMBERS,
    STAGE_HEADER,
    STATUSES,
    arguments_of,
    config_of,
    held_of,
    id_of,
    json_or_text,
    task_of_claim,
    task_of_row,
)
from asyncflow.outbox import Call
from asyncflow.outbox.declarations.task_type import MAX_RETRIES
from asyncflow.outbox.message import MAX_PRIORITY
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import STAGE_LENGTH, TASK_TYPE_LENGTH
from asyncflow.scheduler.operator.task_view import Filter
from asyncflow.scheduler.worker.claim_source import Claim
from asyncflow.scheduler.worker.service_claims import ClaimOutcome, HeldClaim
from asyncflow.text import require_text

_MOST = 2000  # the original's bound of a hold and of a list
_LEASE_REST = 5.0  # seconds that a claim outlives max_processing_time, for the answer to arrive
_StageText = Annotated[str, Field(strict=True, max_length=STAGE_LENGTH)]
_ContextText = Annotated[str, Field(strict=True)]

router = APIRouter(prefix="/v1", tags=["original names"])


class RegisterTask(BaseModel):
    """Register a task type."""

    task_type: TypeName


class TaskData(BaseModel):
    """Describe a task to be created; fields of the original that are not here are ignored."""

    task_type: TypeName
    user_id: Key | None = None
    task_stage: _StageText = ""
    task_context: _ContextText = ""
    priority: Annotated[Whole, Field(ge=0, le=MAX_PRIORITY)] = 0
    max_retry_num: Annotated[Whole, Field(ge=0, le=MAX_RETRIES)] | None = None


class CreateOriginalTask(BaseModel):
    """Create one task."""

    task_data: TaskData


class HoldOriginalTasks(BaseModel):
    """Ask for due tasks of one type; 0 stands for the most."""

    task_type: TypeName
    limit: Annotated[Whole, Field(ge=0, le=_MOST)] = 0


class SettledData(BaseModel):
    """Tell what became of a held task; ``crt_retry_num`` above that of the hold says that an attempt failed."""

    task_id: str
    status: Annotated[Whole, Field(ge=1, le=5)]
    task_stage: _StageText = ""
    task_context: _ContextText | None = None
    crt_retry_num: Whole | None = None
    schedule_log: Annotated[str, Field(strict=True, max_length=10_000)] = ""


class SetTask(BaseModel):
    """Set one task."""

    task_data: SettledData


@router.post("/register_task", responses=responses())
async def register_task(body: RegisterTask, service: Service, _: Admin) -> Response:
    """Register a task type."""
    await service.call(partial(service.configurations.put, body.task_type, registered=True))
    await service.call(service.catalogue.refresh)
    return _ok()


@router.post("/create_task", responses=responses())
async def create_task(body: CreateOriginalTask, service: Service, _: Producer) -> Response:
    """Create one task; a ``task_context`` that is a JSON object becomes its arguments."""
    data = body.task_data
    headers = {STAGE_HEADER: data.task_stage} if data.task_stage else None
    arguments = arguments_of(data.task_context)
    call = Call(arguments, data.user_id, headers, data.priority, max_retries=data.max_retry_num)
    enqueued = await service.create(data.task_type, call)
    return _ok(task_id=str(enqueued.id))


@router.post("/hold_tasks", responses=responses())
async def hold_tasks(body: HoldOriginalTasks, service: Service, token: Worker) -> Response:
    """Claim due tasks of one type, for as long as its ``max_processing_time``."""
    kind = await service.require(body.task_type)
    most = min(body.limit or _MOST, service.settings.max_hold) if kind.enabled else 0
    lease = kind.max_processing_time_seconds + _LEASE_REST
    claims = await service.hold(token.name, {body.task_type: most}, lease) if most else []
    return HandedOver(partial(_held, claims), claims, service.handover)


@router.post("/set_task", responses=responses(409))
async def set_task(body: SetTask, service: Service, _: Worker) -> Response:
    """Write the stage, the context and the outcome of a held task; 409 if its claim is lost."""
    data = body.task_data
    held = held_of(data.task_id)
    row = await service.databases.run(partial(service.view.one, task_id=held.id))
    if row is None:
        raise Problem(409, f"there is no task {held.id} any more; nothing was written")
    await _checkpoint(service, held, data, row)
    name = _outcome(data, failures=row.retry_count - 1)
    if name is not None:
        (settled,), _states = await service.settle([ClaimOutcome(held, name, error=data.schedule_log)])
        if settled.verdict is None:
            raise _lost(held, Status(row.status))
    return _ok()


@router.get("/get_task", responses=responses(404))
async def get_task(task_id: str, service: Service, _: Anyone) -> Response:
    """Return one task."""
    row = await service.databases.run(partial(service.view.one, task_id=id_of(task_id)))
    if row is None:
        raise Problem(404, "there is no task of this task_id; its row may have been cleaned")
    return _ok(task_data=task_of_row(row))


@router.get("/get_task_list", responses=responses())
async def get_task_list(
    service: Service,
    _: Anyone,
    task_type: Annotated[str, Query(min_length=1, max_length=TASK_TYPE_LENGTH)],
    status: Annotated[int | None, Query(ge=1, le=5)] = None,
    limit: Annotated[int, Query(ge=0, le=_MOST)] = 0,
) -> Response:
    """Return the first tasks of a type, and of a status if one is given."""
    chosen = Filter(task_type=plain_text("task_type", task_type), status=None if status is None else STATUSES[status])
    most = min(limit or _MOST, service.settings.max_batch)
    look = partial(service.view.page, chosen=chosen, most=most, cursor=None, brief=False)
    page = await service.databases.run(look)
    return _ok(task_list=[task_of_row(row) for row in page.rows])


@router.get("/get_task_schedule_cfg_list", responses=responses())
async def get_task_schedule_cfg_list(service: Service, _: Anyone) -> Response:
    """Return the options in force of each task type."""
    await service.call(service.catalogue.refresh)
    return _ok(schedule_cfg_list=[config_of(service.catalogue[name]) for name in sorted(service.catalogue)])


@router.get("/get_task_counts_by_type", responses=responses())
async def get_task_counts_by_type(
    service: Service, _: Anyone, task_type: Annotated[str, Query(min_length=1, max_length=TASK_TYPE_LENGTH)]
) -> Response:
    """Return how many tasks of a type there are, none counted beyond 10,000 of a status."""
    counts = await service.databases.run(partial(service.view.counts, most=COUNT_LIMIT))
    found = counts.get(task_type, {})
    by_status = {str(number): found.get(status, 0) for status, number in NUMBERS.items()}
    return _ok(count=sum(found.values()), counts=by_status)


@router.get("/ping")
async def ping() -> Response:
    """Tell that the process is up."""
    return Json({"code": 0, "msg": "pong"})


async def _checkpoint(service: TaskService, held: HeldClaim, data: SettledData, row: Any) -> None:
    """Write the stage and the context where they changed."""
    stage = data.task_stage or row.stage
    if not stage or (data.task_context is None and data.task_stage == row.stage):
        return
    stage = require_text("task_stage", stage, STAGE_LENGTH, InvalidStageError)
    context = row.context if data.task_context is None else context_text(service, json_or_text(data.task_context))
    save = partial(service.claims.checkpoint, held=held, stage=stage, context=context, lease_seconds=None)
    try:
        await service.databases.run(save)
    except ClaimLostError:
        raise _lost(held, Status(row.status)) from None


def _outcome(data: SettledData, failures: int) -> str | None:
    """Return the outcome that a status stands for; none for one that is still at work."""
    if STATUSES[data.status] is Status.PENDING:
        has_failed = data.crt_retry_num is not None and data.crt_retry_num > failures
        return "retry" if has_failed else "not_done"
    return _OUTCOMES.get(STATUSES[data.status])


_OUTCOMES = {Status.SUCCESS: "success", Status.FAILED: "failed", Status.CANCELLED: "cancelled"}


def _lost(held: HeldClaim, now: Status) -> Problem:
    return Problem(409, f"the claim on task {held.id} is lost: it is {now.name}; nothing was written")


def _held(claims: Sequence[Claim]) -> dict[str, Any]:
    return {"code": 0, "msg": "", "task_list": [task_of_claim(claim) for claim in claims]}


def _ok(**fields: Any) -> Response:
    return Json({"code": 0, "msg": "", **fields})
