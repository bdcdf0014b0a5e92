"""Who may call a route, and how often."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from asyncflow.errors import nearest
from asyncflow.integrations.flowsvr.door.callers import is_of_its_own
from asyncflow.integrations.flowsvr.door.problems import Problem
from asyncflow.integrations.flowsvr.door.tokens import ANYBODY, CALLING_ROLES, Token, Tokens
from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.integrations.flowsvr.together.named_paths import DATABASE
from asyncflow.integrations.flowsvr.together.one_database import OneDatabase
from asyncflow.integrations.flowsvr.together.several_databases import SeveralDatabases
from asyncflow.scheduler.publishing.rate_limit import RateLimit

_BEARER = HTTPBearer(auto_error=False, description="A token of the service's tokens file")
_NO_TOKEN = "no token was sent; send Authorization: Bearer TOKEN"
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


def served_by(request: Request) -> OneDatabase | SeveralDatabases:
    """Return what the request is asked of: one database that its path names, or all; raises Problem 404."""
    served: OneDatabase | SeveralDatabases = request.app.state.served
    name: str | None = request.scope.get(DATABASE)
    if name is None:
        return served
    apart = served.apart if isinstance(served, SeveralDatabases) else {}
    if name not in apart:
        known = f"there are {', '.join(apart)}" if apart else "there is one alone, without a name"
        raise Problem(404, f"there is no database {name!r:.70}{nearest(name, apart)}; {known}")
    return apart[name]


def service_of(request: Request) -> TaskService:
    """Return the service of the one database that the request is asked of; raises Problem 404, or 422 for several."""
    served = served_by(request)
    if isinstance(served, OneDatabase):
        return served.service
    path, known = request.scope["path"], ", ".join(served.apart)
    raise Problem(422, f"this is asked of one database: /databases/NAME{path:.200}, with a name of {known}")


Service = Annotated[TaskService, Depends(service_of)]
Served = Annotated[OneDatabase | SeveralDatabases, Depends(served_by)]


class Meter:
    """Count the requests of each token against the limit; one event loop uses it."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._limits: dict[str, RateLimit] = {}

    def spend(self, name: str) -> None:
        """Count one request; raises Problem 429 if it is one too many."""
        if self._per_second is None:
            return
        limit = self._limits.setdefault(name, RateLimit())
        if limit.allowance(self._per_second) < 1:
            seconds = max(1, math.ceil(limit.seconds_until_next(self._per_second)))
            raise Problem(
                429,
                f"the token {name!r} has spent its {self._per_second:g} requests a second; wait {seconds} s",
                {"Retry-After": str(seconds)},
            )
        limit.take(1)


async def admit(request: Request, roles: frozenset[str], *, without_secret: bool = False) -> Token:
    """Return who asks, before anything of the body is read; raises Problem 401, 403 or 429.

    ``without_secret``: whoever sends no token may be known by its network.
    """
    tokens: Tokens = request.app.state.served.tokens
    token = _token_of(tokens, request)
    if token is None and without_secret and "authorization" not in request.headers:
        token = _by_network(tokens, request)
    if token is None:
        address = request.client.host if request.client else "-"
        await request.app.state.refusals.note(request.method, request.scope["path"], address)
        what = "the token is not known" if "authorization" in request.headers else _NO_TOKEN
        raise Problem(401, what, {"WWW-Authenticate": "Bearer", "Connection": "close"})
    request.state.caller = token.name
    request.state.token = token
    request.app.state.meter.spend(token.name)
    if not any(token.may(role) for role in roles):
        detail = f"the token {token.name!r} has not the role {' or '.join(sorted(roles))}"
        raise Problem(403, detail, {"Connection": "close"})
    return token


def _token_of(tokens: Tokens, request: Request) -> Token | None:
    if not tokens.demanded:
        return ANYBODY
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return tokens.find(secret.strip()) if scheme.lower() == "bearer" else None


def _by_network(tokens: Tokens, request: Request) -> Token | None:
    """Return the caller whose network it is, of a program that asks for itself."""
    token = None if request.client is None else tokens.at(request.client.host)
    return token if token is not None and is_of_its_own(request.headers, token.hosts) else None


def _caller(roles: frozenset[str]) -> Callable[..., Token]:
    async def caller(request: Request, _: _Credentials) -> Token:
        token: Token = request.state.token
        return token

    caller.roles = roles  # type: ignore[attr-defined]
    return caller  # type: ignore[return-value]


def require_type(token: Token, task_type: str, field: str = "task_type") -> None:
    """Raise Problem 403 unless the caller may use a task type."""
    if not token.may_use(task_type):
        raise Problem(403, f"the token {token.name!r} is not for the task type {task_type!r:.120}", field=field)


def roles_of(dependant: Dependant) -> frozenset[str] | None:
    """Return the roles of which a route wants one; None if it wants no token."""
    found = [getattr(one.call, "roles", None) for one in dependant.dependencies]
    return next((roles for roles in found if roles is not None), None)


Anyone = Annotated[Token, Depends(_caller(CALLING_ROLES))]
Producer = Annotated[Token, Depends(_caller(frozenset({"producer"})))]
WorkerCaller = Annotated[Token, Depends(_caller(frozenset({"worker"})))]
Admin = Annotated[Token, Depends(_caller(frozenset({"admin"})))]
Metrics = Annotated[Token, Depends(_caller(frozenset({"metrics"})))]
