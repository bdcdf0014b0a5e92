"""Whether the service can serve, as anybody may ask without a token."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import anyio
from fastapi import Request

from asyncflow.integrations.flowsvr.door.problems import Problem, problem_of, report

_KEPT_SECONDS = 1.0


class Readiness:
    """Look once for all who ask in one moment; lives as long as its application, one event loop uses it.

    A look takes a thread and a connection, and whoever asks has no token.
    """

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        self._look = look
        self._looking = anyio.Lock()
        self._fault: Problem | None = None
        self._known_until = float("-inf")

    async def fault(self, request: Request) -> Problem | None:
        """Return what keeps the service from serving, as it was within the last second; it is logged once."""
        async with self._looking:
            if time.monotonic() >= self._known_until:
                self._fault = await self._find(request)
                self._known_until = time.monotonic() + _KEPT_SECONDS
            return self._fault

    async def _find(self, request: Request) -> Problem | None:
        try:
            await self._look()
        except Exception as error:  # noqa: BLE001 - it is answered, and kept for those who ask next
            fault = problem_of(error)
            report(request, error, fault.status)
            return fault
        return None
