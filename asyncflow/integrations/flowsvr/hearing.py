"""What was handed over to workers, until their rows say so: from then on it counts as an attempt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from asyncflow.events import Hooks, StepFailed
from asyncflow.integrations.flowsvr.databases import RequestDatabases
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims

_PAUSE_SECONDS = 0.2  # in which most tasks are settled; of the others one transaction tells
_MOST = 1000  # claims in one transaction


class Hearing:
    """Write down which claims have reached their workers, many at once; lives as long as its service, on its loop.

    A worker that dies at once, before it could renew or settle anything, had the task all the same. What is settled
    meanwhile needs no such mark.
    """

    def __init__(self, databases: RequestDatabases, claims: ServiceClaims, hooks: Hooks) -> None:
        self._databases = databases
        self._claims = claims
        self._hooks = hooks
        self._noted: dict[HeldClaim, float] = {}  # with the moment at which each claim runs out, on the monotonic clock
        self._writing: asyncio.Task[None] | None = None
        self._is_ending = asyncio.Event()

    def note(self, claims: Iterable[Claim]) -> None:
        """Know that the whole answer with these claims was given to its client."""
        self._noted |= {HeldClaim(claim.task.id, claim.token): claim.held_until for claim in claims}
        if self._noted and self._writing is None:
            self._writing = asyncio.ensure_future(self._write_soon())

    def forget(self, settled: Iterable[HeldClaim]) -> None:
        """Know that these are claimed no more."""
        for held in settled:
            self._noted.pop(held, None)

    async def end(self, timeout_seconds: float) -> None:
        """Write what is noted, if that takes no longer."""
        self._is_ending.set()
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=timeout_seconds)

    async def _write_soon(self) -> None:
        try:
            while self._noted:
                with suppress(asyncio.TimeoutError, TimeoutError):  # two classes before Python 3.11
                    await asyncio.wait_for(self._is_ending.wait(), _PAUSE_SECONDS)
                await self._write()
                if self._is_ending.is_set():
                    break
        finally:
            self._writing = None

    async def _write(self) -> None:
        """Write all that is noted; what could not be written stays so until its claim has run out."""
        noted, self._noted = self._noted, {}
        now = time.monotonic()
        live = [held for held, until in noted.items() if until > now]
        try:
            while live:
                page, live = live[:_MOST], live[_MOST:]
                await self._tell(page, noted)
        except Exception as error:  # noqa: BLE001 - told, and tried again
            self._noted = {held: noted[held] for held in [*page, *live]} | self._noted
            self._hooks.emit(StepFailed("hold", error, _PAUSE_SECONDS))

    async def _tell(self, page: Sequence[HeldClaim], noted: Mapping[HeldClaim, float]) -> None:
        hear = partial(self._claims.hear, held=page)
        locked = await self._databases.run(hear, partial(hear, of_free=True))
        self._noted = {held: noted[held] for held in locked} | self._noted
