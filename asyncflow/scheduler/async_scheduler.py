"""The scheduler within an asynchronous application: coroutines run on its loop, with its engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from asyncflow.errors import EventLoopError, OptionError
from asyncflow.events import Hook
from asyncflow.forks import StaysHere
from asyncflow.outbox import Outbox
from asyncflow.outbox.routing.databases import named
from asyncflow.outbox.transaction import engine_loops
from asyncflow.scheduler.branches.engines import ONLY, Engines
from asyncflow.scheduler.connections.sync_twin import sync_twin
from asyncflow.scheduler.counters import Counters
from asyncflow.scheduler.drained import Drained
from asyncflow.scheduler.given import GivenRegistry, Jobs, Publishers, Queues, SchedulerOptions
from asyncflow.scheduler.loops.aside import aside
from asyncflow.scheduler.loops.callers_loop import AtHome, CallersLoop
from asyncflow.scheduler.loops.startable import end_aside
from asyncflow.scheduler.scheduler import Scheduler
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.text import shown

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from typing_extensions import Unpack


class AsyncScheduler(StaysHere):
    """Relay committed tasks within an application's event loop: ``async with AsyncScheduler(engine, outbox, ...)``.

    Coroutine handlers run on the loop that starts it, so they may use what belongs to that loop, such as ``engine``; a
    transactional one gets an AsyncSession of ``engine``, whose commit settles the task. Functions run on threads and
    hold up nothing. The scheduler's own statements go over ``sync_engine``, by default one that is made from the same
    URL: psycopg for asyncpg, PyMySQL for aiomysql and asyncmy. One per process, from ``start`` to ``stop``, not again.

    Of several databases ``engine``, and ``sync_engine`` where it is given, are dicts with the same names.

    All else is as in Scheduler. Raises what that raises, UnsupportedDatabaseError, or MissingExtraError for a
    synchronous driver that is not installed.
    """

    def __init__(
        self,
        engine: AsyncEngine | Mapping[str, AsyncEngine],
        outbox: Outbox,
        publishers: Publishers = MappingProxyType({}),
        *,
        sync_engine: Engines | None = None,
        settings: SchedulerSettings | None = None,
        jobs: Jobs = (),
        registry: GivenRegistry = None,
        queues: Queues = MappingProxyType({}),
        hooks: Iterable[Hook] = (),
        **options: Unpack[SchedulerOptions],
    ) -> None:
        self._engines = _engines_by_name(engine)
        engine_loops.watch()
        self._loop = CallersLoop()
        self._own_engines: list[Engine] = []
        blocking = self._twins(engine) if sync_engine is None else sync_engine
        _require_same_names(self._engines, blocking)
        self.scheduler = Scheduler(
            blocking,
            outbox,
            publishers,
            settings=settings,
            jobs=jobs,
            registry=registry,
            queues=queues,
            hooks=hooks,
            at_home={name: AtHome(self._loop, one) for name, one in self._engines.items()},
            **options,
        )

    async def start(self) -> None:
        """Do what ``Scheduler.start`` does; coroutine handlers run on the loop that runs now.

        Raises what that raises, or EventLoopError if another loop uses the engine, or none of asyncio's runs here.
        """
        self._come_home()
        await aside(self.scheduler.start)

    async def stop(self, timeout_seconds: float | None = None) -> bool:
        """Do what ``Scheduler.stop`` does, while the loop goes on; return whether all ended in time.

        Cancelled, it goes on to its end on its thread. Awaited by a handler, it only begins to stop, and returns False.
        """
        return await asyncio.shield(aside(lambda: self._stop(timeout_seconds)))

    async def drain(self, *, raise_errors: bool = False) -> Drained:
        """Do what ``Scheduler.drain`` does, while the loop goes on."""
        self._come_home()
        return await aside(lambda: self.scheduler.drain(raise_errors=raise_errors))

    def counters(self, database: str | None = None) -> Counters:
        """Do what ``Scheduler.counters`` does."""
        return self.scheduler.counters(database)

    async def __aenter__(self) -> AsyncScheduler:
        self._come_home()
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
        if self.scheduler.is_working_here():  # also on this thread, for the coroutine that awaits it
            end_aside(partial(self._stop, timeout_seconds))
            return False
        try:
            return self.scheduler.stop(timeout_seconds)
        finally:
            for engine in self._own_engines:
                engine.dispose()

    def _come_home(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError as error:  # trio has a loop of its own
            raise EventLoopError(
                "no event loop of asyncio runs here; start an AsyncScheduler on one, or run a Scheduler on a thread"
            ) from error
        for engine in self._engines.values():
            engine_loops.require_loop(engine.sync_engine.pool, loop)
        self._loop.use(loop)

    def _twins(self, engine: AsyncEngine | Mapping[str, AsyncEngine]) -> Engines:
        """Make engines of our own, which are disposed of at the end; raises what ``sync_twin`` raises."""
        twins = {name: sync_twin(one) for name, one in self._engines.items()}
        self._own_engines.extend(twins.values())
        return twins if isinstance(engine, Mapping) else twins[ONLY]


def _engines_by_name(given: AsyncEngine | Mapping[str, AsyncEngine]) -> dict[str, AsyncEngine]:
    engines = named(given) if isinstance(given, Mapping) else {ONLY: given}
    for engine in engines.values():
        _require_async(engine)
    return engines


def _require_same_names(engines: Mapping[str, AsyncEngine], blocking: Engines) -> None:
    names = set(blocking) if isinstance(blocking, Mapping) else {ONLY}
    if names != set(engines):
        wanted = f"a dict with the names {', '.join(engines)}" if ONLY not in engines else "one Engine"
        raise OptionError(f"sync_engine is {shown(blocking)}; give {wanted}, as engine has them, or leave it out")


def _require_async(engine: Any) -> None:
    if type(engine).__name__ == "AsyncEngine":
        return
    remedy = "use Scheduler(engine, ...)" if isinstance(engine, Engine) else "give one, from create_async_engine()"
    raise OptionError(f"engine is {shown(engine)}, and no AsyncEngine; {remedy}")
