"""Routes of task types and their configuration."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import Field
from starlette.responses import Response

from asyncflow.errors import UnknownTaskTypeError, nearest
from asyncflow.integrations.flowsvr.door.access import Admin, Anyone, Served, Service, require_type
from asyncflow.integrations.flowsvr.door.bodies import PLAIN, RequestBody, Whole
from asyncflow.integrations.flowsvr.door.problems import Json, Problem, responses
from asyncflow.integrations.flowsvr.door.route import GuardedRoute
from asyncflow.integrations.flowsvr.door.tokens import Token
from asyncflow.integrations.flowsvr.routes.answers import (
    SettingsList,
    SettingsOfType,
    SettingsRemoved,
    TypeList,
    TypeRegistered,
    TypeSettings,
)
from asyncflow.integrations.flowsvr.routes.tasks import TypeQuery
from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.integrations.flowsvr.together.apart import Apart
from asyncflow.integrations.flowsvr.wire import left_out
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.tables import TASK_TYPE_LENGTH
from asyncflow.scheduler.configuration.type_config import OPTIONS, TypeConfig
from asyncflow.scheduler.operator.audit import Act

Name = Annotated[str, Path(min_length=1, max_length=TASK_TYPE_LENGTH, pattern=PLAIN)]
_Seconds = Annotated[float, Field(strict=True, allow_inf_nan=False)]

router = APIRouter(route_class=GuardedRoute, tags=["task types"])


class Options(RequestBody):
    """Set options of a task type; null lets one be as declared, and those left out stay as they are."""

    limit: Whole | None = None
    interval_seconds: _Seconds | None = None
    max_processing_time_seconds: _Seconds | None = None
    max_retries: Whole | None = None
    retry_interval_seconds: _Seconds | None = None
    max_retry_interval_seconds: _Seconds | None = None
    enabled: Annotated[bool, Field(strict=True)] | None = None
    concurrency: Whole | None = None


@router.put(
    "/v2/task-types/{task_type:path}",
    status_code=201,
    response_model=TypeRegistered,
    responses={
        200: {"description": "It was known, and has these options now", "model": TypeRegistered},
        **responses(404),
    },
)
async def register_type(task_type: Name, body: Options, service: Service, token: Admin) -> Response:
    """Register a task type that no code declares, or change the options of a known one; 200 if it was known."""
    is_known = task_type in await _types(service)
    config = await _put(service, token, task_type, body, registered=True)
    return Json(
        {"task_type": task_type, "created": not is_known, "configuration": _config_json(config)},
        200 if is_known else 201,
    )


@router.get("/v2/task-types", response_model=TypeList, responses=responses())
async def list_types(served: Served, token: Anyone, task_type: TypeQuery = None) -> Response:
    """Return the task types that the caller can create and hold, or one, with the options in force.

    Of several databases each type names those that know it; an option that is not the same in all of them is null, and
    ``differing`` tells it of each.
    """
    found = await served.types()
    return Json({"task_types": _shown(found, token, task_type), **left_out(found.away)})


@router.get("/v2/configuration", response_model=SettingsList, responses=responses())
async def list_configuration(served: Served, token: Anyone, task_type: TypeQuery = None) -> Response:
    """Return what is set for each task type, or one; null is as declared, or ``differing`` in several databases."""
    found = await served.configuration()
    return Json({"configuration": _shown(found, token, task_type), **left_out(found.away)})


@router.get("/v2/configuration/{task_type:path}", response_model=SettingsOfType, responses=responses(404))
async def get_configuration(task_type: Name, served: Served, token: Anyone) -> Response:
    """Return what is set for one task type; null is as declared, or ``differing`` in several databases."""
    require_type(token, task_type)
    found = await served.configuration_of(task_type)
    if not found.task_types():
        known = (*served.outbox.task_types, *served.outbox.handler_types)
        near = nearest(task_type, filter(token.may_use, known))
        raise Problem(404, f"the task type {task_type!r} is neither declared nor registered{near}")
    return Json({"task_type": task_type, **found.together(task_type), **left_out(found.away)})


@router.put("/v2/configuration/{task_type:path}", response_model=TypeSettings, responses=responses(404))
async def change_configuration(task_type: Name, body: Options, service: Service, token: Admin) -> Response:
    """Change options of a known task type, for all processes that run; returns all that are set."""
    try:
        return Json(_config_json(await _put(service, token, task_type, body, registered=False)))
    except UnknownTaskTypeError as error:
        raise Problem(404, str(error)) from error


@router.delete("/v2/configuration/{task_type:path}", response_model=SettingsRemoved, responses=responses(404))
async def remove_configuration(task_type: Name, service: Service, token: Admin) -> Response:
    """Let a task type be as declared again, or forget one that was registered."""
    removed = await service.call(partial(service.option_changes.remove, _act(token), task_type))
    await _types(service)
    return Json({"task_type": task_type, "removed": removed})


async def _put(service: TaskService, token: Token, name: str, body: Options, *, registered: bool) -> TypeConfig:
    given = body.model_dump(exclude_unset=True)
    put = partial(service.option_changes.put, _act(token), name, given, registered=registered)
    config = await service.call(put)
    await _types(service)
    return config


def _act(token: Token) -> Act:
    return Act("configure", token.name)


async def _types(service: TaskService) -> dict[str, HandlerType]:
    await service.call(service.catalogue.refresh)
    return dict(service.catalogue)


def _shown(found: Apart, token: Token, task_type: str | None) -> list[dict[str, Any]]:
    names = [name for name in found.task_types() if task_type in (None, name) and token.may_use(name)]
    return [{"task_type": name, **found.together(name)} for name in names]


def _config_json(config: TypeConfig) -> dict[str, Any]:
    return {"task_type": config.task_type, **{name: getattr(config, name) for name in OPTIONS}}
