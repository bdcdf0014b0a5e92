"""The OpenAPI document: what clients are made from, and the page /docs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from asyncflow.integrations.flowsvr.door.problems import ProblemBody
from asyncflow.integrations.flowsvr.routes.examples import EXAMPLES

_JSON = "application/json"


def document_of(app: FastAPI, routers: Sequence[APIRouter]) -> dict[str, Any]:
    """Return the document, with the schema of problems in place of FastAPI's own of errors."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = ProblemBody.model_json_schema()
    names = {(route.path_format, method): route.name for router in routers for route, method in _routes(router)}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = names.get((path, method)) or operation["operationId"]
            operation["operationId"] = _operation_id(path, name)
            _without_nulls(operation.get("parameters", ()))
            _show(operation)
    return document


def _routes(router: APIRouter) -> Iterator[tuple[APIRoute, str]]:
    """Give the routes of a router, each with its methods as the document names them."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            for method in route.methods or ():
                yield route, method.lower()


def _operation_id(path: str, name: str) -> str:
    """Return the name of what a client generates: short, and one for each operation."""
    return f"v1_{name}" if path.startswith("/v1/") else name


def _without_nulls(parameters: Iterable[dict[str, Any]]) -> None:
    """Let a parameter that may be left out be text or a number: in a URL there is no null."""
    for parameter in parameters:
        schema = parameter["schema"]
        kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
        if kinds:
            schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _show(operation: dict[str, Any]) -> None:
    """Put the examples of an operation to its body and its answers."""
    example = EXAMPLES.get(operation["operationId"])
    if example is None:
        return  # what is answered is no JSON
    if example.body is not None:
        operation["requestBody"]["content"][_JSON]["example"] = example.body
    for status, answer in operation["responses"].items():
        if status in ("200", "201"):
            answer["content"][_JSON]["example"] = example.answer
