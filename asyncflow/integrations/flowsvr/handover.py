"""Claims on their way to a worker: handed over with the last byte of an answer, or given back at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, Protocol

from anyio.to_thread import run_sync
from sqlalchemy import Connection
from starlette.requests import Request

from asyncflow.errors import EncryptionError, KeyGoneError, PayloadAlteredError
from asyncflow.events import Hooks, StepFailed
from asyncflow.integrations.flowsvr.databases import RequestDatabases
from asyncflow.integrations.flowsvr.door.problems import Json
from asyncflow.integrations.flowsvr.hearing import Hearing
from asyncflow.integrations.flowsvr.settings import DESTINATION
from asyncflow.outbox.declarations.task_type import TaskType
from asyncflow.outbox.encryption.encryption import Encryption
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.status import Status
from asyncflow.scheduler.table.log_lines import short_error
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.claiming.service_claims import ServiceClaims
from asyncflow.scheduler.worker.claiming.told_outcomes import tell_outcomes
from asyncflow.scheduler.worker.verdict import Verdict

NOT_RECEIVED = Verdict(Status.PENDING, 0.0, "given back: its worker was gone before the answer", is_spent=False)


class Handover:
    """Claim for workers, and give back what does not reach them; lives as long as its service, on its event loop.

    ``on_given_back`` is called when tasks are due again.
    """

    def __init__(
        self, databases: RequestDatabases, claims: ServiceClaims, hooks: Hooks, on_given_back: Callable[[], None]
    ) -> None:
        self._databases = databases
        self._claims = claims
        self._hooks = hooks
        self._hearing = Hearing(databases, claims, hooks)
        self._on_given_back = on_given_back
        self._under_way: set[asyncio.Task[None]] = set()

    async def claim(self, worker: str, limits: Mapping[str, int], lease_seconds: float) -> list[Claim]:
        """Claim due tasks of each type up to its limit; what was claimed is given back if it cannot be returned."""
        tried: list[list[Claim]] = []

        def hold(connection: Connection, **how: bool) -> list[Claim]:
            tried.append(self._claims.hold(connection, worker, limits, lease_seconds, **how))
            return tried[-1]

        def trace(connection: Connection) -> list[Claim] | None:
            return self._claims.kept(connection, list(chain.from_iterable(tried)), lease_seconds) or None

        # The thread goes on when the request is cancelled; and a COMMIT that raised may have happened.
        asked = asyncio.ensure_future(self._databases.run_once(hold, trace, partial(hold, of_free=True)))
        try:
            return await asyncio.shield(asked)
        except BaseException:
            self._begin(self._give_back_after(asked, tried))
            raise

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Let the tasks be due again, their attempts unspent, as soon as the database takes it."""
        if claims:
            self._begin(self._give_back(claims))

    def arrived(self, claims: Sequence[Claim]) -> None:
        """Let the rows say soon that their workers were given them, so that the attempts count."""
        self._hearing.note(claims)

    def settled(self, settled: Iterable[HeldClaim]) -> None:
        """Know that nothing is to be said of these any more."""
        self._hearing.forget(settled)

    async def end(self, timeout_seconds: float) -> None:
        """Wait until everything is given back and written down, no longer than that each."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_seconds)
        await self._hearing.end(timeout_seconds)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _give_back_after(self, asked: Awaitable[Any], tried: Sequence[Sequence[Claim]]) -> None:
        with suppress(Exception):  # who asked was told
            await asked
        if claims := list(chain.from_iterable(tried)):
            await self._give_back(claims)

    async def _give_back(self, claims: Sequence[Claim]) -> None:
        try:
            await self._databases.run(lambda connection: self._claims.give_back(connection, claims, NOT_RECEIVED))
        except Exception as error:  # noqa: BLE001 - the claims run out, and cost no attempt the first time
            self._hooks.emit(StepFailed("hold", error, 0.0))
        else:
            self._on_given_back()


class ToldOfClaims(Protocol):
    """Hear what became of claims that were to be handed over: those of one database, or of several."""

    def arrived(self, claims: Sequence[Claim]) -> None:
        """Know that their workers have them."""
        ...

    def give_back(self, claims: Sequence[Claim]) -> None:
        """Let the tasks be due again."""
        ...


class HandedOver(Json):
    """Answer with claimed tasks; whoever is gone before the last byte has not received them.

    ``content`` is called here, so that claims that cannot be written down as JSON are given back as well.
    """

    def __init__(self, content: Callable[[], Any], claims: Sequence[Claim], handover: ToldOfClaims) -> None:
        self._claims = claims
        self._handover = handover
        try:
            super().__init__(content())
        except BaseException:
            handover.give_back(claims)
            raise

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Send the answer, the last byte by itself."""
        is_received = False
        try:
            is_received = await self._send(Request(scope, receive), send)
        finally:
            # Once the server has all of it, the client may have begun, and died of it.
            if is_received:
                self._handover.arrived(self._claims)
            else:
                self._handover.give_back(self._claims)

    async def _send(self, request: Request, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> bool:
        await asyncio.sleep(0)  # the loop may have heard by now that the client is gone
        if self._claims and await request.is_disconnected():
            return False
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._claims:
            await send({"type": "http.response.body", "body": self.body[:-1], "more_body": True})
            # A server waits for a slow client before it takes the next part, not after it took one.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            if await request.is_disconnected():
                return False
        await send({"type": "http.response.body", "body": self.body[-1:] if self._claims else self.body})
        return True


class Opening:
    """Decrypt what is handed out with a claim, and settle what cannot be; used on the event loop."""

    def __init__(
        self,
        encryption: Encryption,
        databases: RequestDatabases,
        claims: ServiceClaims,
        type_of: Callable[[str], TaskType],
        hooks: Hooks,
    ) -> None:
        self._encryption = encryption
        self._databases = databases
        self._claims = claims
        self._type_of = type_of
        self._hooks = hooks

    async def opened(self, claims: Sequence[Claim]) -> list[Claim]:
        """Return the claims whose arguments can be read, in the clear; the attempts at the others have failed."""
        closed = [claim for claim in claims if is_encrypted(claim.task.headers_json)]
        if not closed:
            return list(claims)
        found = await run_sync(lambda: {claim: self._open(claim) for claim in closed})  # a hook may take its time
        refused = [one for one in found.values() if isinstance(one, ClaimOutcome)]
        if refused:
            settled = await self._databases.run(
                lambda connection: self._claims.settle(connection, refused, self._type_of)
            )
            tell_outcomes(self._hooks, DESTINATION, settled)
        opened = (found.get(claim, claim) for claim in claims)
        return [one for one in opened if isinstance(one, Claim)]

    def _open(self, claim: Claim) -> Claim | ClaimOutcome:
        try:
            return replace(claim, task=self._encryption.open_task(claim.task))
        except EncryptionError as error:
            outcome = "failed" if isinstance(error, (KeyGoneError, PayloadAlteredError)) else "retry"
            text = short_error(f"{type(error).__name__}: {error}")
            return ClaimOutcome(HeldClaim(claim.task.id, claim.token), outcome, error=text)
