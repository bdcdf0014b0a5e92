"""Routes of dead letters: look at them, replay, cancel, discard. The audit names the token."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from asyncflow.integrations.flowsvr.door.access import Admin, Served, Service
from asyncflow.integrations.flowsvr.door.bodies import PLAIN, Key, RequestBody, TypeName, Whole
from asyncflow.integrations.flowsvr.door.checks import require_few
from asyncflow.integrations.flowsvr.door.problems import Json, Problem, responses
from asyncflow.integrations.flowsvr.door.route import GuardedRoute
from asyncflow.integrations.flowsvr.routes.answers import LetterList, LettersChanged, WholeTask
from asyncflow.integrations.flowsvr.routes.tasks import CursorQuery, IdPath, KeyQuery, TypeQuery
from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.integrations.flowsvr.together.one_database import LettersListing
from asyncflow.integrations.flowsvr.wire import left_out, lying_in, whole_json
from asyncflow.outbox.status import Status
from asyncflow.scheduler.operator.audit import MOST_READ
from asyncflow.scheduler.operator.changing.batches import Changed
from asyncflow.scheduler.operator.selection import Selection

router = APIRouter(route_class=GuardedRoute, prefix="/v2/dead-letters", tags=["dead letters"])


class Which(RequestBody):
    """Choose dead letters: by ids, by type or key, or everything."""

    ids: list[UUID] | None = Field(None, min_length=1, fail_fast=True)
    task_type: TypeName | None = None
    key: Key | None = None
    everything: Annotated[bool, Field(strict=True)] = False
    limit: Annotated[Whole, Field(ge=1, le=2**31 - 1)] | None = Field(None, description="of tasks that are changed")
    reason: Annotated[str, Field(strict=True, min_length=1, max_length=300, pattern=PLAIN)] | None = Field(
        None, description="for the audit"
    )

    def selection(self, service: TaskService) -> Selection:
        """Return the choice; raises OptionError, or Problem 422 for too many ids."""
        require_few("ids", self.ids or (), service.settings.max_batch)
        return Selection(
            ids=self.ids, task_type=self.task_type, key=self.key, everything=self.everything, limit=self.limit
        )


class Replay(Which):
    """Choose dead letters to replay, and how fast they come due."""

    per_second: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None


@router.get("", response_model=LetterList, responses=responses())
async def list_dead_letters(
    served: Served,
    _: Admin,
    task_type: TypeQuery = None,
    key: KeyQuery = None,
    limit: Annotated[int, Query(ge=1, le=MOST_READ)] = 100,
    cursor: CursorQuery = None,
) -> Response:
    """Return a page of dead letters and the cursor of the next one.

    Several databases come one after the other; ``away`` names those that were left out.
    """
    page = await served.letters(LettersListing(task_type, key, limit, cursor))
    letters = [
        {
            "id": str(letter.task_id),
            "task_type": letter.task_type,
            "key": letter.key,
            "retry_count": letter.retry_count,
            "failed_at": letter.failed_at,
            "log": letter.log.splitlines(),
            **lying_in(page.database),
        }
        for letter in page.rows
    ]
    return Json({"dead_letters": letters, "next": page.next, **left_out(page.away)})


@router.get("/{task_id:uuid}", response_model=WholeTask, responses=responses(404))
async def get_dead_letter(task_id: IdPath, served: Served, _: Admin) -> Response:
    """Return one dead letter whole."""
    row, _age = await served.look_up(task_id)
    if row is None or row.status != Status.FAILED:
        raise Problem(404, f"there is no dead letter {task_id}")
    return Json({**whole_json(row), **lying_in(served.database_of(task_id))})


@router.post("/replay", response_model=LettersChanged, responses=responses())
async def replay(body: Replay, service: Service, token: Admin) -> Response:
    """Let dead letters be PENDING again with all their retries; ``per_second`` spreads when they come due."""
    work = partial(service.dead_letters.replay, per_second=body.per_second)
    return await _change(service, work, body, token.name)


@router.post("/cancel", response_model=LettersChanged, responses=responses())
async def cancel(body: Which, service: Service, token: Admin) -> Response:
    """Make tasks that wait or have failed CANCELLED."""
    return await _change(service, service.dead_letters.cancel, body, token.name)


@router.post("/discard", response_model=LettersChanged, responses=responses())
async def discard(body: Which, service: Service, token: Admin) -> Response:
    """Delete dead letters; only the audit remembers them."""
    return await _change(service, service.dead_letters.discard, body, token.name)


async def _change(service: TaskService, work: Any, body: Which, actor: str) -> Response:
    selection = body.selection(service)
    changed: Changed = await service.call(partial(work, selection, actor=actor, reason=body.reason))
    service.waiting_holds.ring()
    return Json({"count": changed.count, "left": {str(task_id): told for task_id, told in changed.left.items()}})
