"""Faults as the client sees them: application/problem+json of RFC 9457."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from asyncflow.driver_errors import state_of
from asyncflow.errors import (
    AsyncflowError,
    ClaimLostError,
    ConnectionSilentError,
    InvalidArgumentsError,
    OptionError,
    OutcomeUnknownError,
    PayloadTooLargeError,
    RefusedError,
    ServiceBusyError,
    ShardCountMismatchError,
    TablesMissingError,
    UnknownTaskTypeError,
)
from asyncflow.integrations.flowsvr.door.fields import field_of_route
from asyncflow.integrations.flowsvr.door.methods import methods_of
from asyncflow.repeats import kind_of
from asyncflow.text import hide_parameters

MEDIA_TYPE = "application/problem+json"
ORIGINAL_CODE = 8020  # of the original's codes, the first: the input is at fault, or the service
RETRY = {"Retry-After": "1"}
_ALL = (400, 401, 403, 408, 413, 415, 422, 429, 503)  # that any route may answer with
_NO_SUCH_VALUE, _NO_SUCH_ROW = "22", "23"  # classes of SQLSTATE: what a column, and what a constraint does not take
_LOG = logging.getLogger("asyncflow.flowsvr")


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """Be raised by a route to answer with a problem; ``fields`` are its own."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None, **fields: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers
        self.fields = fields


class ProblemBody(BaseModel):
    """Tell what is wrong, as RFC 9457 has it; more fields may follow."""

    model_config = ConfigDict(extra="allow", title="Problem")
    type: str
    title: str
    status: int
    detail: str
    field: str | None = Field(None, description="that is at fault, such as arguments.order_id")


class Json(Response):
    """Answer with JSON by orjson, which also passes stored JSON on unparsed."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the content as bytes."""
        return orjson.dumps(content)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the problems that a route may answer with, beside those that all have in common."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content} for status in sorted({*_ALL, *statuses})
    }


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None, **fields: Any) -> Response:
    """Return the response for a problem."""
    title = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": _sendable(detail), **fields}
    return Response(orjson.dumps(body), status, dict(headers or {}), MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """Return the problem that an error is to the client."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return _of_fields(error)
    if isinstance(error, HTTPException):
        return Problem(error.status_code, str(error.detail), error.headers)
    if isinstance(error, SQLAlchemyError):
        return _of_database(error)
    if isinstance(error, AsyncflowError):
        return _of_ours(error)
    return _at_fault()


def _of_database(error: SQLAlchemyError) -> Problem:
    # What no driver or column takes will not be taken the next time either.
    is_refused = isinstance(error, StatementError) and not isinstance(error, DBAPIError)
    # pg8000 has one class of errors for nearly all that a server says.
    state = (state_of(error.orig) if isinstance(error, DBAPIError) else None) or ""
    if is_refused or isinstance(error, DataError) or state.startswith(_NO_SUCH_VALUE):
        return Problem(422, "a value that was given is none that the database can keep")
    if isinstance(error, IntegrityError) or state.startswith(_NO_SUCH_ROW):
        return _at_fault()
    return Problem(503, "the database does not serve; try again", RETRY)


def _at_fault() -> Problem:
    return Problem(500, "the service is at fault; its log tells more")


def _of_ours(error: AsyncflowError) -> Problem:
    if isinstance(error, PayloadTooLargeError):
        return Problem(413, str(error))
    if isinstance(error, UnknownTaskTypeError):
        return Problem(422, str(error), field="task_type")
    if isinstance(error, InvalidArgumentsError):
        return Problem(422, str(error), field=field_of_arguments(error))
    if isinstance(error, (RefusedError, OptionError)):
        return Problem(422, str(error), field=_first_word(str(error)))
    if isinstance(error, OutcomeUnknownError):
        return Problem(504, str(error))
    if isinstance(error, ClaimLostError):
        return Problem(409, str(error))
    if isinstance(error, (ConnectionSilentError, ServiceBusyError, ShardCountMismatchError, TablesMissingError)):
        return Problem(503, str(error), RETRY)
    # InvalidStageError and the like: what was given cannot be taken.
    return Problem(422, str(error)) if isinstance(error, ValueError) else Problem(500, str(error))


def field_of_arguments(error: InvalidArgumentsError) -> str:
    """Return the field that is at fault: one of the arguments, or all of them."""
    return "arguments" if error.argument is None else f"arguments.{_sendable(error.argument)[:100]}"


def _of_fields(error: RequestValidationError) -> Problem:
    faults = [_fault(fault) for fault in error.errors()[:20]]
    detail = "; ".join(f"{fault['field'] or 'the body'}: {fault['problem']}" for fault in faults)
    return Problem(422, detail[:2000], field=faults[0]["field"] if faults else "", faults=faults)


def _fault(fault: Mapping[str, Any]) -> dict[str, str]:
    if fault["type"] == "json_invalid":  # its place is a number of characters, and no field
        told = fault.get("ctx", {}).get("error", fault["msg"])
        return {"field": "", "problem": _sendable(f"no JSON at character {fault['loc'][-1]}: {told}")}
    field = ".".join(_sendable(f"{part!s:.100}") for part in fault["loc"][1:])
    return {"field": field, "problem": _sendable(fault["msg"])}


def _first_word(text: str) -> str:
    """Return the field that an error of the outbox names first."""
    return text.partition(" ")[0].rstrip(":")


def one_line(text: str, most: int = 200) -> str:
    """Return the text on one line of printable ASCII, whatever the client put into it."""
    return text[:most].encode("unicode_escape").decode()[:most]


def _sendable(text: str) -> str:
    """Return the text without halves of surrogate pairs, which a client may have sent."""
    return text.encode(errors="backslashreplace").decode()


def answer_problems(app: FastAPI) -> None:
    """Let every error of a route become a problem."""

    async def answer(request: Request, error: Exception) -> Response:
        found = problem_of(error)
        request.state.problem = found.status
        if found.status >= 500:
            report(request, error, found.status)
        fields = field_of_route(request, found.fields)
        headers = dict(found.headers or {})
        if found.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(methods_of(request))
        if request.scope["path"].startswith("/v1/"):
            # Whoever speaks the original names reads these two.
            fields = {**fields, "code": ORIGINAL_CODE, "msg": _sendable(str(found))}
        return problem(found.status, str(found), headers, **fields)

    for kind in (Problem, RequestValidationError, HTTPException, SQLAlchemyError, AsyncflowError, Exception):
        app.add_exception_handler(kind, answer)


def report(request: Request, error: Exception, status: int) -> None:
    """Log an error that is not the client's, escaped and without parameters; with a traceback if it may be ours.

    Of what keeps the service from serving, such as a database that is away, one line tells for as long as it lasts.
    """
    hide_parameters(error)
    text = one_line(" ".join(str(getattr(error, "orig", None) or error).split()), 300)
    is_known = status == HTTPStatus.SERVICE_UNAVAILABLE and request.app.state.troubles.lasts(status, kind_of(error))
    level = logging.DEBUG if is_known else logging.ERROR
    _LOG.log(
        level, "%s %s: %s: %s", one_line(request.method), one_line(request.scope["path"]), type(error).__name__, text
    )
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        lines = "".join(traceback.format_exception(type(error), error, error.__traceback__)).splitlines()
        _LOG.error("%s", "\n".join(f"  | {one_line(line, 500)}" for line in lines))
