"""The effect of one message on one subscriber that is a coroutine: awaited on the application's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncflow.callables import require_done
from asyncflow.consuming.effects import Effects, arguments_of, asking, context_of
from asyncflow.consuming.encrypted import decrypted, readable
from asyncflow.consuming.own_commits import parted_by_none
from asyncflow.consuming.received import AnyReceived
from asyncflow.consuming.subscription import Subscription
from asyncflow.leash import on_leash
from asyncflow.outbox import Inbox, Outbox
from asyncflow.outbox.arguments.signature import SESSION
from asyncflow.scheduler.connections.calls import TaskCalls, WatchedCalls, WatchedSession
from asyncflow.scheduler.connections.moves import is_elsewhere, note_move
from asyncflow.scheduler.worker.task_context import TaskContext
from asyncflow.scheduler.worker.verdict import Verdict
from asyncflow.scheduler.worker.within import await_within

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession


class AsyncEffects(Effects):
    """Await subscribers, coroutines, on the loop of the application, from the thread of the consumer."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox, inbox: Inbox, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(engine.sync_engine, outbox, inbox)
        self._async_engine = engine
        self._loop = loop

    def hasten(self) -> None:
        """Do so, on the loop."""
        with suppress(RuntimeError):  # of a loop that is closed
            self._loop.call_soon_threadsafe(super().hasten)

    def deliver(self, subscription: Subscription, message: AnyReceived, attempt: int) -> None:
        """Do so, and wait for it."""
        message = decrypted(message, self._outbox.encryption)
        self._finish(self._deliver(subscription, message, context_of(subscription, message, attempt)))

    def bury(
        self, subscription: Subscription, message: AnyReceived, verdict: Verdict, *, is_least: bool = False
    ) -> None:
        """Do so, and wait for it."""
        message = readable(message, self._outbox.encryption)
        self._finish(self._bury(subscription, message, verdict, is_least=is_least))

    async def _deliver(self, subscription: Subscription, message: AnyReceived, ctx: TaskContext) -> None:
        async def effect(session: AsyncSession) -> None:
            given = arguments_of(subscription, message, ctx)
            handler: Any = subscription.kind.handler

            async def call() -> None:
                returned = await on_leash(handler(**given, **{SESSION: session}))
                require_done(f"the subscriber {subscription.name!r}", returned)

            await await_within(self._outbox.around, ctx, call)

        await self._once(subscription, message, effect)

    async def _bury(
        self, subscription: Subscription, message: AnyReceived, verdict: Verdict, *, is_least: bool
    ) -> None:
        async def effect(session: AsyncSession) -> None:
            await session.run_sync(lambda sync: self._write(sync, subscription, message, verdict, is_least=is_least))

        await self._once(subscription, message, effect)

    async def _once(
        self,
        subscription: Subscription,
        message: AnyReceived,
        effect: Callable[[AsyncSession], Coroutine[Any, Any, None]],
    ) -> None:
        remember = partial(self._remember, subscription, message)
        with self._watched(TaskCalls(self._engine, self._patience)) as calls:
            async with self._session(calls) as session, session.begin():
                try:
                    with asking():
                        is_new = await session.run_sync(remember)
                    if is_new:
                        with calls.handed_out(), parted_by_none(session.sync_session, remember):
                            await effect(session)
                    was_ended = is_new and not session.in_transaction()
                except Exception as error:
                    if is_elsewhere(error, self._engine):
                        note_move(self._engine)
                        await session.invalidate()
                        await self._async_engine.dispose()
                    raise
        if was_ended:
            with asking(), self._watched(TaskCalls(self._engine)) as calls:
                async with self._session(calls) as session, session.begin():
                    await session.run_sync(remember)

    def _session(self, calls: WatchedCalls) -> AsyncSession:
        from sqlalchemy.ext.asyncio import AsyncSession

        return AsyncSession(self._async_engine, sync_session_class=WatchedSession, expire_on_commit=False, calls=calls)

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        error = asyncio.run_coroutine_threadsafe(_caught(work), self._loop).result()
        if error is not None:
            raise error


async def _caught(work: Coroutine[Any, Any, None]) -> BaseException | None:
    """Return what the work raised: ``sys.exit()`` in a subscriber must not end the application's loop."""
    try:
        await work
    except BaseException as error:  # noqa: BLE001 - raised on the consumer's thread
        return error
    return None
