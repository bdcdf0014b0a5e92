"""The routes of the original task service, by its names: ``{"code": 0, "msg": "", ...}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy import Connection, Row
from starlette.responses import Response

from asyncflow.errors import ClaimLostError, InvalidTaskTypeError
from asyncflow.integrations.flowsvr.door.access import Admin, Anyone, Producer, Service, WorkerCaller, require_type
from asyncflow.integrations.flowsvr.door.bodies import PLAIN
from asyncflow.integrations.flowsvr.door.checks import require_unlocked
from asyncflow.integrations.flowsvr.door.problems import Json, Problem, responses
from asyncflow.integrations.flowsvr.door.reading import FREE_BYTES
from asyncflow.integrations.flowsvr.door.route import GuardedRoute
from asyncflow.integrations.flowsvr.handover import HandedOver
from asyncflow.integrations.flowsvr.pages import PageBounds, page_of
from asyncflow.integrations.flowsvr.routes.tasks import TypeQuery
from asyncflow.integrations.flowsvr.routes.work import context_text
from asyncflow.integrations.flowsvr.service import LEASE_REST, TaskService
from asyncflow.integrations.flowsvr.v1.answers import (
    OriginalAnswer,
    OriginalCounts,
    OriginalCreated,
    OriginalSettingsList,
    OriginalTaskFound,
    OriginalTasks,
)
from asyncflow.integrations.flowsvr.v1.bodies import (
    MOST,
    CreateOriginalTask,
    HoldOriginalTasks,
    RegisterTask,
    SetTask,
    SettledData,
)
from asyncflow.integrations.flowsvr.v1.original import (
    NUMBERS,
    STAGE_HEADER,
    STATUSES,
    arguments_of,
    config_of,
    held_of,
    id_of,
    shown_context,
    task_of_claim,
    task_of_row,
    work_of,
)
from asyncflow.outbox import Call
from asyncflow.outbox.clock import MAX_DELAY_SECONDS
from asyncflow.outbox.declarations.encrypting import OFF
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.look_up.task_rows import Filter
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import TASK_TYPE_LENGTH
from asyncflow.scheduler.operator.audit import Act
from asyncflow.scheduler.table.queries import read_clock
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.task_context import stage_of
from asyncflow.text import require_text

T = TypeVar("T")
router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["original names"])


@router.post("/register_task", response_model=OriginalAnswer, responses=responses())
async def register_task(body: RegisterTask, service: Service, token: Admin) -> Response:
    """Register a task type."""
    await service.call(
        partial(service.option_changes.put, Act("configure", token.name), body.task_type, {}, registered=True)
    )
    await service.call(service.catalogue.refresh)
    return _ok()


@router.post("/create_task", response_model=OriginalCreated, responses=responses())
async def create_task(body: CreateOriginalTask, service: Service, token: Producer) -> Response:
    """Create one task; a ``context`` that is a JSON object becomes its arguments."""
    data = body.task_data
    require_type(token, data.task_type)
    headers = {STAGE_HEADER: data.task_stage} if data.task_stage else None
    context = data.context or data.task_context or ""
    arguments = await _aside(service, partial(arguments_of, context), len(context))
    call = Call(arguments, data.user_id or None, headers, data.priority or 0, max_retries=data.max_retry_num or None)
    enqueued = await service.create(data.task_type, call, token)
    return _ok(task_id=str(enqueued.id))


@router.post("/hold_tasks", response_model=OriginalTasks, responses=responses())
async def hold_tasks(body: HoldOriginalTasks, service: Service, token: WorkerCaller) -> Response:
    """Claim due tasks of one type, for as long as its ``max_processing_time``."""
    require_type(token, body.task_type)
    kind = await service.require(body.task_type, token)
    _require_plain(service, kind)
    most = min(body.limit or MOST, service.settings.max_hold) if kind.enabled else 0
    lease = kind.max_processing_time_seconds + LEASE_REST
    claims = await service.hold(token.name, {body.task_type: most}, lease) if most else []
    rows: Mapping[UUID, Row[Any]] = {}
    if claims:
        try:
            rows = await service.databases.run(partial(service.view.states, ids=[claim.task.id for claim in claims]))
        except BaseException:
            service.handover.give_back(claims)
            raise
    return HandedOver(partial(_held, claims, rows, kind), claims, service.handover)


@router.post("/set_task", response_model=OriginalAnswer, responses=responses(409))
async def set_task(body: SetTask, service: Service, token: WorkerCaller) -> Response:
    """Write the stage, the context and the outcome of a held task; 409 if its claim is lost."""
    data = body.task_data
    held = held_of(data.task_id)
    row, now = await service.databases.run(partial(_row_and_time, service, held.id))
    if row is None or not token.may_use(row.task_type):
        raise Problem(409, f"there is no task {held.id} any more; nothing was written")
    await _checkpoint(service, held, data, row)
    name = _outcome(data, failures=row.retry_count - 1)
    if name is not None:
        (settled,), _states = await service.settle(
            [ClaimOutcome(held, name, _delay(data, now), data.schedule_log or "")], token
        )
        require_unlocked(settled)
        if settled.verdict is None:
            raise _lost(held, Status(row.status))
    return _ok()


@router.get("/get_task", response_model=OriginalTaskFound, responses=responses(404))
async def get_task(
    service: Service,
    token: Anyone,
    task_id: str = "",
    camel: Annotated[str, Query(alias="taskId", include_in_schema=False)] = "",
) -> Response:
    """Return one task; the original's Go client calls it ``taskId``."""
    row, _ = await service.look_up(id_of(task_id or camel))
    if row is None or not token.may_use(row.task_type):
        raise Problem(404, "there is no task of this task_id; its row may have been cleaned")
    return _ok(task_data=task_of_row(row, service.catalogue.type_of(row.task_type)))


@router.get("/get_task_list", response_model=OriginalTasks, responses=responses())
async def get_task_list(
    service: Service,
    token: Anyone,
    task_type: TypeQuery = None,
    camel: Annotated[str | None, Query(alias="taskType", include_in_schema=False)] = None,
    status: Annotated[int | None, Query(ge=1, le=5)] = None,
    limit: Annotated[int, Query(ge=0, le=MOST)] = 0,
) -> Response:
    """Return the first tasks of a type, and of a status if one is given; fewer where they are large."""
    name = require_text("task_type", task_type or camel, TASK_TYPE_LENGTH, InvalidTaskTypeError)
    require_type(token, name)
    chosen = Filter(task_type=name, status=None if status is None else STATUSES[status])
    bounds = PageBounds(min(limit or MOST, service.settings.max_batch), service.settings.max_answer_bytes)
    look = partial(page_of, view=service.view, chosen=chosen, bounds=bounds, cursor=None, brief=False)
    page = await service.databases.run(look)
    kind = service.catalogue.type_of(name)
    return _ok(task_list=[task_of_row(row, kind) for row in page.rows])


@router.get("/get_task_schedule_cfg_list", response_model=OriginalSettingsList, responses=responses())
async def get_task_schedule_cfg_list(service: Service, token: Anyone) -> Response:
    """Return the options in force of each task type."""
    await service.call(service.catalogue.refresh)
    types = [service.catalogue[name] for name in sorted(service.catalogue) if token.may_use(name)]
    configs = [config_of(kind) for kind in types]
    return _ok(task_schedule_cfg_list=configs, schedule_cfg_list=configs)


@router.get("/get_task_counts_by_type", response_model=OriginalCounts, responses=responses())
async def get_task_counts_by_type(
    service: Service,
    token: Anyone,
    task_type: Annotated[str, Query(min_length=1, max_length=TASK_TYPE_LENGTH, pattern=PLAIN)],
) -> Response:
    """Return how many tasks of a type there are, none counted beyond 10,000 of a status."""
    require_type(token, task_type)
    found = await service.databases.run(partial(service.view.counts, task_type=task_type))
    by_status = {str(number): found.of(status, task_type) for status, number in NUMBERS.items()}
    total = sum(found.counts.values())
    return _ok(count=total, counts=total, counts_by_status=by_status)


@router.get("/ping", response_model=OriginalAnswer)
async def ping() -> Response:
    """Tell that the process is up."""
    return Json({"code": 0, "msg": "pong"})


async def _checkpoint(service: TaskService, held: HeldClaim, data: SettledData, row: Any) -> None:
    """Write the stage and the context where they changed."""
    context, work = await _aside(service, partial(_work_told, data, row), len(data.context or data.task_context or ""))
    stage = data.task_stage or row.stage
    if not stage or (work is None and data.task_stage == row.stage):
        return
    stage = stage_of(stage)
    kept = row.context if work is None else context_text(service.outbox, context)
    save = partial(service.claims.checkpoint, held=held, stage=stage, context=kept, lease_seconds=None)
    try:
        await service.databases.run(save)
    except ClaimLostError:
        raise _lost(held, Status(row.status)) from None


def _work_told(data: SettledData, row: Any) -> tuple[Any, str | None]:
    """Return the context that was told, and its text; None if none was."""
    work = data.work(shown_context(row.context, row.payload))
    return None if work is None else work_of(work), work


async def _aside(service: TaskService, work: Callable[[], T], size: int) -> T:
    """Return what comes of a context of so many characters; others are served while a large one is looked at."""
    return work() if size <= FREE_BYTES else await service.call(work)


def _require_plain(service: TaskService, kind: HandlerType) -> None:
    """Refuse tasks whose arguments are encrypted: whoever holds one here writes them back as its context."""
    if service.outbox.encryption.of(kind) != OFF:
        told = (
            f"tasks of {kind.name!r} are encrypted, and /v1 would write their arguments in the clear; hold them by /v2"
        )
        raise Problem(422, told, field="task_type")


def _outcome(data: SettledData, failures: int) -> str | None:
    """Return the outcome that a status stands for; none for one that is still at work."""
    if STATUSES[data.status] is Status.PENDING:
        has_failed = data.crt_retry_num is not None and data.crt_retry_num > failures
        return "retry" if has_failed else "not_done"
    return _OUTCOMES.get(STATUSES[data.status])


_OUTCOMES = {Status.SUCCESS: "success", Status.FAILED: "failed", Status.CANCELLED: "cancelled"}


def _lost(held: HeldClaim, now: Status) -> Problem:
    return Problem(409, f"the claim on task {held.id} is lost: it is {now.name}; nothing was written")


def _delay(data: SettledData, now: datetime) -> float | None:
    """Return after how long the task is due again, by the database's clock; None leaves it to the type's policy."""
    if not data.order_time:
        return None
    return min(max(0.0, data.order_time - now.timestamp()), MAX_DELAY_SECONDS)


def _row_and_time(service: TaskService, task_id: UUID, connection: Connection) -> tuple[Row[Any] | None, datetime]:
    return service.view.one(connection, task_id), connection.execute(read_clock()).scalar_one()


def _held(claims: Sequence[Claim], rows: Mapping[UUID, Row[Any]], kind: HandlerType) -> dict[str, Any]:
    # One whose row is gone by now was settled by nobody who received it: its claim is lost.
    held = [task_of_claim(claim, rows[claim.task.id], kind) for claim in claims if claim.task.id in rows]
    return {"code": 0, "msg": "", "task_list": held}


def _ok(**fields: Any) -> Response:
    return Json({"code": 0, "msg": "", **fields})
