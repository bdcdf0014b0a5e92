"""The commit that a transactional coroutine and its task's outcome have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from asyncflow.scheduler.connections.moves import is_elsewhere, note_move
from asyncflow.scheduler.loops.aside import aside
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_source import ClaimSource
from asyncflow.scheduler.worker.transactional.joint_commit import HandlerSession, JointCommit

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession


class AsyncJointCommit(JointCommit):
    """Do what a JointCommit does, in an AsyncSession on the loop that runs.

    What has to be asked beside the handler's connection is asked of ``engine``, on a thread.
    """

    def __init__(self, source: ClaimSource, engine: Engine, async_engine: AsyncEngine, claim: Claim) -> None:
        super().__init__(source, async_engine.sync_engine, claim)
        self._asked = engine
        self._async_engine = async_engine

    async def run_async(self, handle: Callable[[AsyncSession], Awaitable[None]]) -> None:
        """Await ``handle`` with an AsyncSession, then commit unless that has happened; raises what either raises."""
        from sqlalchemy.ext.asyncio import AsyncSession

        try:
            async with AsyncSession(
                self._async_engine, sync_session_class=HandlerSession, expire_on_commit=False, joint=self
            ) as session:
                try:
                    await handle(session)
                    await self._make_sure_async()
                    await session.run_sync(self._end)
                except Exception as error:
                    await self._leave_after(error, session)
                    raise
        finally:
            await self._make_sure_async()

    async def _leave_after(self, error: Exception, session: AsyncSession) -> None:
        """Leave the server, and what the pool holds of it, if the error is that of one that takes no writes."""
        if is_elsewhere(error, self._engine):
            note_move(self._engine)
            await session.invalidate()
            await self._async_engine.dispose()

    def _make_sure(self) -> None:
        """Leave it as it is, here on the event loop: ``_make_sure_async`` has asked a moment ago, or could not."""

    async def _make_sure_async(self) -> None:
        if self._is_unsure:
            await aside(super()._make_sure)
