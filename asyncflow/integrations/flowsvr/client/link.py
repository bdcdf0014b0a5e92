"""The requests to a task service, and what its answers mean."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from asyncflow.errors import (
    ClaimLostError,
    ServiceAwayError,
    ServiceRefusedError,
    UnreadableAnswerError,
)
from asyncflow.extra_libraries import library
from asyncflow.forks import keep_for_ever, leave_at_fork
from asyncflow.integrations.flowsvr.client.quiet import unlogged
from asyncflow.integrations.flowsvr.client.settings import ClientSettings

if TYPE_CHECKING:
    import httpx

_TOO_SLOW, _CONFLICT, _TOO_MANY, _SERVER_FAULT = 408, 409, 429, 500
_MOST_RETRY_AFTER_SECONDS = 3600.0
_LOG = logging.getLogger("asyncflow.flowsvr")


class ServiceLink:
    """Send requests and read answers; lives as long as its client, any thread may use it."""

    def __init__(self, settings: ClientSettings, transport: httpx.BaseTransport | None = None) -> None:
        self._httpx = _httpx()
        self._server = settings.server.rstrip("/")
        self._shown = settings.shown_server
        self._timeout_seconds = settings.request_timeout_seconds
        self._headers = {"authorization": f"Bearer {settings.token}"} if settings.token else {}
        self._transport = transport
        self._client = self._connected()
        if settings.token and settings.is_in_the_open:
            text = "the token travels to %s without encryption, for all on the way to read; use https"
            _LOG.warning(text, self._shown)
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Open connections of its own in the child of a fork; a transport that was given is used as it is."""
        keep_for_ever(self._client)
        self._client = self._connected()

    def _connected(self) -> httpx.Client:
        made: httpx.Client = self._httpx.Client(base_url=self._server, headers=self._headers, transport=self._transport)
        return made

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        wait_seconds: float = 0.0,
    ) -> Any:
        """Send one request; return the answer's JSON, None if it has none. ``wait_seconds``: how long it may think.

        Raises ServiceAwayError, ServiceRefusedError, or ClaimLostError for a conflict.
        """
        try:
            with unlogged():
                answer = self._client.request(
                    method,
                    path,
                    content=None if body is None else orjson.dumps(body),
                    headers={} if body is None else {"content-type": "application/json"},
                    params={key: value for key, value in (query or {}).items() if value is not None},
                    timeout=self._timeout_seconds + wait_seconds,
                )
        except self._httpx.TransportError as error:
            raise ServiceAwayError(
                f"the task service at {self._shown} does not answer: {type(error).__name__}: {error}",
                may_have_worked=not isinstance(error, (self._httpx.ConnectError, self._httpx.ConnectTimeout)),
            ) from error
        return self._read(answer, is_on_claim=path.endswith(("/outcome", "/checkpoint")))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _read(self, answer: httpx.Response, *, is_on_claim: bool) -> Any:
        if answer.is_success:
            return self._json(answer)
        told = f"the task service at {self._shown} answered {answer.status_code}: {_problem(answer)}"
        if answer.status_code == _CONFLICT and is_on_claim:
            raise ClaimLostError(f"{told}; nothing was written, leave the task alone")
        if answer.status_code in (_TOO_SLOW, _TOO_MANY) or answer.status_code >= _SERVER_FAULT:
            raise ServiceAwayError(
                told,
                retry_after_seconds=_retry_after(answer),
                may_have_worked=answer.status_code not in (_TOO_SLOW, _TOO_MANY, 503),
            )
        raise ServiceRefusedError(told, status=answer.status_code)

    def _json(self, answer: httpx.Response) -> Any:
        try:
            return orjson.loads(answer.content) if answer.content else None
        except orjson.JSONDecodeError as error:
            raise UnreadableAnswerError(
                f"{self._shown} answered what is no JSON: {answer.text[:100]!r}; is this URL a task service?",
                content=answer.content,
            ) from error


def _problem(answer: httpx.Response) -> str:
    """Return what a problem document (RFC 9457) tells, or the text of another answer."""
    try:
        problem = orjson.loads(answer.content)
        told = [str(problem[name]) for name in ("title", "detail") if problem.get(name)]
    except (orjson.JSONDecodeError, AttributeError):
        told = [answer.text[:200]]
    return ": ".join(told) or answer.reason_phrase


def _retry_after(answer: httpx.Response) -> float | None:
    """Return Retry-After in seconds; its other form, a date, would be compared with a foreign clock."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(seconds, _MOST_RETRY_AFTER_SECONDS) if seconds >= 0 else None


def _httpx() -> Any:
    return library("httpx", "the task service's client", "flowsvr-client")
