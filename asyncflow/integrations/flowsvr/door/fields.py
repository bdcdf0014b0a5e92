"""The fields of a request, by the names that its route has for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute

# What the outbox and the operator's rooms call otherwise.
_ALIASES = {"payload": "arguments", "header": "headers", "after": "cursor", "name": "task_type"}
_ORIGINALS = {
    "task_type": "task_type",
    "key": "user_id",
    "arguments": "context",
    "context": "context",
    "headers": "task_stage",
    "stage": "task_stage",
    "priority": "priority",
    "max_retries": "max_retry_num",
}


def field_of_route(request: Request, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a problem's fields with ``field`` as the route calls it, or without, if the route has no such field."""
    given = fields.get("field")
    route = request.scope.get("route")
    if given is None or not isinstance(route, APIRoute):
        return dict(fields)
    name = _named(given, known_fields(route))
    rest = {key: value for key, value in fields.items() if key != "field"}
    return rest if name is None else {"field": name, **rest}


def _named(given: str, known: Mapping[str, Iterable[str]]) -> str | None:
    root, dot, rest = given.partition(".")
    root = _ALIASES.get(root, root)
    if root in known:
        return f"{root}{dot}{rest}"
    if "task_data" in known and root in _ORIGINALS:
        return f"task_data.{_ORIGINALS[root]}"
    return next((outer for outer, inner in known.items() if root in inner), None)


def known_fields(route: APIRoute) -> dict[str, Iterable[str]]:
    """Return the names of a route's parameters and of its body's fields, with the names that are within each."""
    dependant = route.dependant
    known: dict[str, Iterable[str]] = {one.alias: () for one in (*dependant.query_params, *dependant.path_params)}
    for body in dependant.body_params:
        model = body.field_info.annotation
        for name, field in getattr(model, "model_fields", {}).items():
            known[name] = _within(field.annotation)
    return known


def _within(annotation: Any) -> Iterable[str]:
    inner = [annotation, *getattr(annotation, "__args__", ())]
    return [name for one in inner for name in getattr(one, "model_fields", {})]
