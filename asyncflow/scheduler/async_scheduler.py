"""The scheduler within an asynchronous application: coroutines run on its loop, with its engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from asyncflow.errors import OptionError
from asyncflow.events import Hook
from asyncflow.outbox import Outbox
from asyncflow.outbox.transaction import engine_loops
from asyncflow.scheduler.connections.sync_twin import sync_twin
from asyncflow.scheduler.counters import Counters
from asyncflow.scheduler.drained import Drained
from asyncflow.scheduler.given import GivenRegistry, Jobs, Publishers, SchedulerOptions
from asyncflow.scheduler.loops.callers_loop import AtHome, CallersLoop
from asyncflow.scheduler.scheduler import Scheduler
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.text import shown

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from typing_extensions import Unpack


class AsyncScheduler:
    """Relay committed tasks within an application's event loop: ``async with AsyncScheduler(engine, outbox, ...)``.

    Coroutine handlers run on the loop that starts it, so they may use what belongs to that loop, such as ``engine``; a
    transactional one gets an AsyncSession of ``engine``, whose commit settles the task. Functions run on threads and
    hold up nothing. The scheduler's own statements go over ``sync_engine``, by default one that is made from the same
    URL: psycopg for asyncpg, PyMySQL for aiomysql and asyncmy. One per process, from ``start`` to ``stop``, not again.

    All else is as in Scheduler. Raises what that raises, UnsupportedDatabaseError, or MissingExtraError for a
    synchronous driver that is not installed.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        outbox: Outbox,
        publishers: Publishers,
        *,
        sync_engine: Engine | None = None,
        settings: SchedulerSettings | None = None,
        jobs: Jobs = (),
        registry: GivenRegistry = None,
        hooks: Iterable[Hook] = (),
        **options: Unpack[SchedulerOptions],
    ) -> None:
        _require_async(engine)
        engine_loops.watch()
        self._engine = engine
        self._loop = CallersLoop()
        blocking = sync_twin(engine) if sync_engine is None else sync_engine
        self._own_engine = blocking if sync_engine is None else None
        self.scheduler = Scheduler(
            blocking,
            outbox,
            publishers,
            settings=settings,
            jobs=jobs,
            registry=registry,
            hooks=hooks,
            at_home=AtHome(self._loop, engine),
            **options,
        )

    async def start(self) -> None:
        """Do what ``Scheduler.start`` does; coroutine handlers run on the loop that runs now.

        Raises what that raises, or EventLoopError if another loop uses the engine.
        """
        self._come_home()
        await asyncio.to_thread(self.scheduler.start)

    async def stop(self, timeout_seconds: float | None = None) -> bool:
        """Do what ``Scheduler.stop`` does, while the loop goes on; return whether all ended in time.

        Cancelled, it goes on to its end on its thread.
        """
        ending = asyncio.get_running_loop().run_in_executor(None, self._stop, timeout_seconds)
        return await asyncio.shield(ending)

    async def drain(self, *, raise_errors: bool = False) -> Drained:
        """Do what ``Scheduler.drain`` does, while the loop goes on."""
        self._come_home()
        return await asyncio.to_thread(lambda: self.scheduler.drain(raise_errors=raise_errors))

    def counters(self) -> Counters:
        """Return what was counted since the scheduler was made, and the states of the circuit breakers."""
        return self.scheduler.counters()

    async def __aenter__(self) -> AsyncScheduler:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _stop(self, timeout_seconds: float | None) -> bool:
        try:
            return self.scheduler.stop(timeout_seconds)
        finally:
            if self._own_engine is not None:
                self._own_engine.dispose()

    def _come_home(self) -> None:
        loop = asyncio.get_running_loop()
        engine_loops.require_loop(self._engine.sync_engine.pool, loop)
        self._loop.use(loop)


def _require_async(engine: Any) -> None:
    if type(engine).__name__ == "AsyncEngine":
        return
    remedy = "use Scheduler(engine, ...)" if isinstance(engine, Engine) else "give one, from create_async_engine()"
    raise OptionError(f"engine is {shown(engine)}, and no AsyncEngine; {remedy}")
