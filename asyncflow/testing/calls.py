"""How a drain calls handlers and builders: in this thread, on the connection of the test's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from asyncflow.callables import is_coroutine
from asyncflow.errors import OptionError
from asyncflow.outbox.arguments.signature import SESSION
from asyncflow.testing.rolled_back import begin_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection

_JOINED = {"join_transaction_mode": "create_savepoint"}


class Committed:
    """Tell whether a handler has committed what it was given."""

    def __init__(self) -> None:
        self.is_true = False

    def heard(self, session: Session) -> None:
        """Take in a commit; one of a savepoint inside is none."""
        self.is_true |= not session.in_nested_transaction()


class Calls:
    """Call for a synchronous session; a coroutine gets an event loop of its own."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def in_session(self, handler: Callable[..., Any], given: dict[str, Any], committed: Committed) -> Callable[[], Any]:
        """Return the call of a transactional handler with a session on a savepoint, which it commits."""
        if is_coroutine(handler):
            raise OptionError(
                f"{handler.__qualname__}() is a transactional coroutine, which works in an AsyncSession; "
                f"give drain() one"
            )

        def call() -> Any:
            with self.session() as session:
                event.listen(session, "after_commit", committed.heard)
                done = handler(**given, **{SESSION: session})
                session.commit()
                return done

        return call

    def finish(self, returned: Any) -> Any:
        """Return what a call returned, at the end of the coroutine if it is one."""
        return self._finish(returned) if asyncio.iscoroutine(returned) else returned

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Give a session on a savepoint, which is undone unless it is committed."""
        begin_whole(self.connection)
        with Session(self.connection, **_JOINED) as session:  # type: ignore[arg-type]
            yield session

    def _finish(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(work)
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, work).result()


class AsyncCalls(Calls):
    """Call for an AsyncSession, within its ``run_sync``: coroutines run on the loop of the test."""

    def __init__(self, connection: AsyncConnection) -> None:
        assert connection.sync_connection is not None
        super().__init__(connection.sync_connection)
        self._async_connection = connection

    def _finish(self, work: Coroutine[Any, Any, Any]) -> Any:
        from sqlalchemy.util import await_only

        return await_only(work)

    def in_session(self, handler: Callable[..., Any], given: dict[str, Any], committed: Committed) -> Callable[[], Any]:
        """Return the call, of a coroutine with an AsyncSession; it is made after this, and not later."""
        if not is_coroutine(handler):
            return super().in_session(handler, given, committed)
        from sqlalchemy.ext.asyncio import AsyncSession

        async def call() -> Any:
            options: dict[str, Any] = {**_JOINED, "expire_on_commit": False}
            async with AsyncSession(self._async_connection, **options) as session:
                event.listen(session.sync_session, "after_commit", committed.heard)
                done = await handler(**given, **{SESSION: session})
                await session.commit()
                return done

        begin_whole(self.connection)
        return call
