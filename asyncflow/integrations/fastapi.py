"""FastAPI, and Starlette: a scheduler for the life of the application, and transactions that end before the answer."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from asyncflow.errors import LibraryTooOldError, OptionError
from asyncflow.extra_libraries import missing
from asyncflow.outbox import Outbox
from asyncflow.scheduler import AsyncScheduler, Scheduler
from asyncflow.scheduler.loops.aside import aside
from asyncflow.text import shown

try:
    import fastapi
    from fastapi import Depends
except ImportError as error:
    raise missing("fastapi", "this integration", "fastapi") from error

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

    AnyScheduler = AsyncScheduler | Scheduler
    Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
    Source = AsyncEngine | async_sessionmaker[AsyncSession] | Engine | sessionmaker[Session]

_KNOWS_SCOPES = "scope" in inspect.signature(Depends).parameters
_AFTER_THE_ANSWER = ("0.118.", "0.119.", "0.120.")  # where a dependency ends so, and nothing can be said against it


def lifespan(scheduler: Callable[[], AnyScheduler] | AnyScheduler, own: Lifespan | None = None) -> Lifespan:
    """Return a lifespan that runs a scheduler: ``FastAPI(lifespan=lifespan(lambda: AsyncScheduler(...)))``.

    Give a function that makes the scheduler, for one is started once, and an application more often, as in tests. The
    application's ``own`` lifespan is entered first and left last, so it can create tables and dispose of the engine;
    what it yields is the application's state. A Scheduler starts and stops on a thread; nothing holds up the loop.
    """

    @asynccontextmanager
    async def run(app: Any) -> AsyncIterator[Any]:
        async with nullcontext() if own is None else own(app) as state, _running(_made(scheduler)):
            yield state

    return run


def transaction(source: Source) -> Callable[[], Any]:
    """Return a dependency that gives a session in a transaction, which commits, or rolls back if the request fails.

    Of an AsyncEngine or async_sessionmaker it is an AsyncSession, of an Engine or sessionmaker a Session, in a route of
    either kind. Depend on it by ``before_response(...)``; tests override it. Raises OptionError.
    """
    if type(source).__name__ in ("AsyncEngine", "async_sessionmaker"):
        return _async_transaction(source)
    if not isinstance(source, (Engine, sessionmaker)):
        raise OptionError(f"a session of what? {shown(source)} is none of Engine, AsyncEngine and their sessionmakers")
    sessions = sessionmaker(source, expire_on_commit=False) if isinstance(source, Engine) else source

    def in_transaction() -> Iterator[Session]:
        with sessions.begin() as session:
            yield session

    return in_transaction


class SessionOutbox:
    """Publish and enqueue in one request's transaction, which lasts as long as the request; no call names the session.

    Each method is the outbox's own with the session given: ``publish("user.registered", {...})``. ``session`` is that
    session; a task function takes it: ``issue_coupon.enqueue(bound.session, ...)``.
    """

    def __init__(self, outbox: Outbox, session: Any) -> None:
        self.session = session
        self.publish = partial(outbox.publish, session)
        self.publish_many = partial(outbox.publish_many, session)
        self.publish_async = partial(outbox.publish_async, session)
        self.enqueue = partial(outbox.enqueue, session)
        self.enqueue_many = partial(outbox.enqueue_many, session)
        self.enqueue_async = partial(outbox.enqueue_async, session)


def session_outbox(outbox: Outbox, dependency: Callable[..., Any]) -> Callable[..., Any]:
    """Return a dependency that gives a SessionOutbox in the session that ``dependency`` gives, as ``transaction`` does.

    A route that takes the session itself by ``before_response(dependency)`` gets the same one, and what both write
    commits before the answer, or rolls back, as one. Raises LibraryTooOldError as ``before_response`` does.
    """

    in_session = before_response(dependency)

    async def bound(session: Any = in_session) -> SessionOutbox:
        return SessionOutbox(outbox, session)

    return bound


def before_response(dependency: Callable[..., Any]) -> Any:
    """Depend on ``dependency`` so that what stands behind its ``yield``, a commit, is done before the answer is sent.

    ``Depends(dependency)`` alone does it afterwards: a client is told 200, and the commit may fail. Raises
    LibraryTooOldError for a FastAPI that knows no other way, 0.118 to 0.120.
    """
    if _KNOWS_SCOPES:
        return Depends(dependency, scope="function")
    if fastapi.__version__.startswith(_AFTER_THE_ANSWER):
        raise LibraryTooOldError(
            f"FastAPI is {fastapi.__version__}, which ends dependencies after the answer was sent: "
            f'pip install "fastapi>=0.121"'
        )
    return Depends(dependency)


def _async_transaction(source: Any) -> Callable[[], AsyncIterator[AsyncSession]]:
    from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

    sessions: async_sessionmaker[AsyncSession] = (
        async_sessionmaker(source, expire_on_commit=False) if isinstance(source, AsyncEngine) else source
    )

    async def in_transaction() -> AsyncIterator[AsyncSession]:
        async with sessions.begin() as session:
            yield session

    return in_transaction


def _made(scheduler: Any) -> Any:
    return scheduler() if callable(scheduler) else scheduler


@asynccontextmanager
async def _running(scheduler: AnyScheduler) -> AsyncIterator[None]:
    if isinstance(scheduler, AsyncScheduler):
        async with scheduler:
            yield
        return
    try:
        await aside(scheduler.start)
        yield
    finally:
        await aside(scheduler.stop)
