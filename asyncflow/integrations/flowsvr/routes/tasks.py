"""Routes that create tasks and look at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from asyncflow.errors import InvalidArgumentsError
from asyncflow.integrations.flowsvr.creation import revived
from asyncflow.integrations.flowsvr.door.access import Anyone, Producer, Served, require_type
from asyncflow.integrations.flowsvr.door.bodies import PLAIN, CreateTask, CreateTasks
from asyncflow.integrations.flowsvr.door.checks import require_few
from asyncflow.integrations.flowsvr.door.problems import Json, Problem, field_of_arguments, responses
from asyncflow.integrations.flowsvr.door.route import GuardedRoute
from asyncflow.integrations.flowsvr.door.tokens import Token
from asyncflow.integrations.flowsvr.pages import PageBounds
from asyncflow.integrations.flowsvr.routes.answers import TaskCounts, TaskCreated, TaskList, TasksCreated, WholeTask
from asyncflow.integrations.flowsvr.together.one_database import Listing
from asyncflow.integrations.flowsvr.wire import left_out, lying_in, state_json, whole_json
from asyncflow.outbox import Call
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.look_up.task_rows import Filter
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import KEY_LENGTH, TASK_TYPE_LENGTH
from asyncflow.scheduler.operator.type_counts import TypeCounts

_FOUND = "It was created before, with this idempotency key"
STATUSES = tuple(status.name for status in Status)
_STATUS_SCHEMAS: list[Any] = [  # apart, for members of an enum must differ by more than case to be names in a program
    {"type": "string", "enum": STATUSES},
    {"type": "string", "pattern": f"^({'|'.join(map(str.lower, STATUSES))})$"},
]
IdPath = Annotated[UUID, Path(description="of the task, as its creation told")]
TypeQuery = Annotated[str | None, Query(min_length=1, max_length=TASK_TYPE_LENGTH, pattern=PLAIN)]
KeyQuery = Annotated[str | None, Query(min_length=1, max_length=KEY_LENGTH, pattern=PLAIN)]
CursorQuery = Annotated[str | None, Query(min_length=1, max_length=2000, description="the next of the page before")]

router = APIRouter(route_class=GuardedRoute, tags=["tasks"])


@router.post(
    "/v2/tasks",
    status_code=201,
    response_model=TaskCreated,
    responses={200: {"description": _FOUND, "model": TaskCreated}, **responses(409, 504)},
)
async def create_task(body: CreateTask, served: Served, token: Producer) -> Response:
    """Create one task; 200 in place of 201 if the caller has used the idempotency key before.

    Of several databases it lies in that of its key.
    """
    require_type(token, body.task_type)
    database, service = served.at([body.key])
    enqueued = await service.create(body.task_type, body.call(), token)
    answer = {"id": str(enqueued.id), "created": enqueued.is_new, **lying_in(database)}
    return Json(answer, 201 if enqueued.is_new else 200)


@router.post("/v2/tasks/bulk", status_code=201, response_model=TasksCreated, responses=responses(409, 504))
async def create_tasks(body: CreateTasks, served: Served, token: Producer) -> Response:
    """Create several tasks of one type in one transaction, all or none; of several databases in that of their keys."""
    require_type(token, body.task_type)
    require_few("tasks", body.tasks, served.settings.max_batch)
    database, service = served.at([task.key for task in body.tasks])
    calls = [task.call() for task in body.tasks]
    try:
        ids = await service.create_many(body.task_type, calls, token)
    except InvalidArgumentsError as error:
        place = f"tasks.{_first_unfit(service.catalogue.type_of(body.task_type), calls)}"
        raise Problem(422, f"{place}: {error}", field=f"{place}.{field_of_arguments(error)}") from error
    return Json({"ids": [str(task_id) for task_id in ids], **lying_in(database)}, 201)


@router.get("/v2/tasks/{task_id:uuid}", response_model=WholeTask, responses=responses(404))
async def get_task(task_id: IdPath, served: Served, token: Anyone) -> Response:
    """Return one task whole; the header ``Age`` tells how many seconds ago, if it was kept."""
    row, age_seconds = await served.look_up(task_id)
    if row is None or not token.may_use(row.task_type):
        raise Problem(404, f"there is no task {task_id}; its row may have been cleaned")
    return Json({**whole_json(row), **lying_in(served.database_of(task_id))}, headers=_age(age_seconds))


@router.get("/v2/tasks", response_model=TaskList, responses=responses())
async def list_tasks(
    served: Served,
    token: Anyone,
    task_type: TypeQuery = None,
    status: Annotated[str | None, Query(json_schema_extra={"anyOf": _STATUS_SCHEMAS})] = None,
    key: KeyQuery = None,
    limit: Annotated[int, Query(ge=1)] = 100,
    cursor: CursorQuery = None,
) -> Response:
    """Return a page of tasks and the cursor of the next one; without arguments and context.

    A page may hold fewer than ``limit`` where tasks are large. A token that is bound to task types names one. Several
    databases come one after the other; ``away`` names those that were left out.
    """
    if task_type is not None:
        require_type(token, task_type)
    elif token.is_bound:
        raise Problem(403, f"the token {token.name!r} is bound to task types; name one: ?task_type=", field="task_type")
    chosen = Filter(task_type=task_type, status=_status(status), key=key)
    bounds = PageBounds(min(limit, served.settings.max_batch), served.settings.max_answer_bytes)
    page = await served.page(Listing(("tasks", token.name, chosen), chosen, bounds, cursor))
    tasks = [{**state_json(row), **lying_in(page.database)} for row in page.rows]
    return Json({"tasks": tasks, "next": page.next, **left_out(page.away)})


@router.get("/v2/counts", response_model=TaskCounts, responses=responses())
async def count_tasks(served: Served, token: Anyone, task_type: TypeQuery = None) -> Response:
    """Return how many tasks of each type, or of one, are in each status, none counted beyond ``counted_up_to``.

    Several databases are added up, each counted so far, and ``databases`` tells of each; ``away`` names those that were
    left out.
    """
    found, apart, away = await served.counts(task_type)
    each = {"databases": {name: _counts_json(its, token) for name, its in sorted(apart.items())}} if apart else {}
    return Json({"counts": _counts_json(found, token), "counted_up_to": found.limit, **each, **left_out(away)})


def _counts_json(found: TypeCounts, token: Token) -> dict[str, dict[str, int]]:
    names = sorted({name for (_, name), count in found.counts.items() if count and token.may_use(name)})
    return {name: {status.name: found.of(status, name) for status in Status} for name in names}


def _first_unfit(kind: HandlerType, calls: Sequence[Call]) -> int:
    """Return the place of the first call whose arguments do not fit, one of which is there."""
    for place, call in enumerate(calls):
        try:
            kind.check(revived(kind, call).arguments)
        except InvalidArgumentsError:
            return place
    return 0


def _status(name: str | None) -> Status | None:
    if name is None:
        return None
    if name.upper() not in STATUSES:
        raise Problem(422, f"status is {name!r:.40}; give one of {', '.join(STATUSES)}", field="status")
    return Status[name.upper()]


def _age(seconds: float | None) -> dict[str, str] | None:
    return None if seconds is None else {"Age": str(int(seconds))}
