"""Who may call a route, and how often."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from asyncflow.integrations.flowsvr.door.problems import Problem
from asyncflow.integrations.flowsvr.door.tokens import ANYBODY, ROLES, Token
from asyncflow.integrations.flowsvr.service import TaskService
from asyncflow.scheduler.publishing.rate_limit import RateLimit

_BEARER = HTTPBearer(auto_error=False, description="A token of the service's tokens file")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


def service_of(request: Request) -> TaskService:
    """Return the service of the application that the request came to."""
    service: TaskService = request.app.state.service
    return service


Service = Annotated[TaskService, Depends(service_of)]


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


def _caller(roles: frozenset[str]) -> Callable[..., Token]:
    async def caller(request: Request, service: Service, credentials: _Credentials) -> Token:
        token = _token_of(service, credentials)
        request.state.caller = token.name
        request.app.state.meter.spend(token.name)
        if not any(token.may(role) for role in roles):
            raise Problem(403, f"the token {token.name!r} has not the role {' or '.join(sorted(roles))}")
        return token

    return caller  # type: ignore[return-value]


def _token_of(service: TaskService, credentials: HTTPAuthorizationCredentials | None) -> Token:
    if not service.tokens.demanded:
        return ANYBODY
    token = service.tokens.find(credentials.credentials) if credentials else None
    if token is None:
        what = "the token is not known" if credentials else "no token was sent; send Authorization: Bearer TOKEN"
        raise Problem(401, what, {"WWW-Authenticate": "Bearer"})
    return token


Anyone = Annotated[Token, Depends(_caller(ROLES))]
Producer = Annotated[Token, Depends(_caller(frozenset({"producer"})))]
Worker = Annotated[Token, Depends(_caller(frozenset({"worker"})))]
Admin = Annotated[Token, Depends(_caller(frozenset({"admin"})))]
