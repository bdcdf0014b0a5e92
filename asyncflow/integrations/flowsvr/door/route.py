"""A route behind the door: who asks is known before anything of a body is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.responses import Response

from asyncflow.errors import nearest
from asyncflow.integrations.flowsvr.door.access import admit, roles_of
from asyncflow.integrations.flowsvr.door.problems import Problem

_JSON = b"application/json"
_LENIENT = "/v1/"  # the original's clients send no token, leave the content type out, and name what no route reads


class GuardedRoute(APIRoute):
    """Ask for the token, then for what the route knows, and read the body last; refuse what would be ignored."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        handle = super().get_route_handler()
        roles = roles_of(self.dependant)
        is_lenient = self.path.startswith(_LENIENT)
        known = None if is_lenient else _query_names(self.dependant)
        has_body = self.body_field is not None

        async def guarded(request: Request) -> Response:
            _refuse_two_lengths(request)
            token = None
            if roles is not None:  # health is told at once
                await request.app.state.admission.take()
                token = await admit(request, roles, without_secret=is_lenient)
            if known is not None:
                _refuse_unknown(request.query_params, known)
            if not has_body:
                return await handle(request)
            _require_json(request, is_lenient=is_lenient)
            async with request.app.state.bodies.read(request, token.name if token else "") as whole:
                return await handle(whole)

        return guarded


def _query_names(dependant: Dependant) -> Sequence[str]:
    return [parameter.alias for parameter in dependant.query_params]


def _refuse_unknown(given: QueryParams, known: Sequence[str]) -> None:
    for name, _ in given.multi_items():
        if name not in known:
            what = f"there is no query parameter {name!r:.60}{nearest(name, known)}"
            raise Problem(422, f"{what}; known: {', '.join(known) or 'none'}", field=name[:60])
    for name in known:
        if len(given.getlist(name)) > 1:
            raise Problem(422, f"{name} is given {len(given.getlist(name))} times; give it once", field=name)


def _refuse_two_lengths(request: Request) -> None:
    """Raise Problem 400 for a body of which a proxy may see another end than we do."""
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        detail = "both Transfer-Encoding and Content-Length are given; give one of them"
        raise Problem(400, detail, {"Connection": "close"})


def _require_json(request: Request, *, is_lenient: bool) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        what = f"the content encoding is {encoding!r:.60}; send the body as it is"
        raise Problem(415, what, {"Connection": "close"})
    given = request.headers.get("content-type")
    if given is None and is_lenient:
        request.scope["headers"] = [*request.scope["headers"], (b"content-type", _JSON)]
        return
    kind = (given or "").partition(";")[0].strip().lower()
    if kind != _JSON.decode() and not (kind.startswith("application/") and kind.endswith("+json")):
        what = f"the content type is {given!r:.60}" if given else "no content type is given"
        raise Problem(415, f"{what}; send Content-Type: application/json", {"Connection": "close"})
