"""The event loop of the application, for coroutines that are to run where its engines are."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from asyncflow.errors import EventLoopError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


class Coroutines(Protocol):
    """Run coroutines, from any thread."""

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work``, which must not raise."""
        ...

    def close(self) -> None:
        """Take no more."""
        ...


class CallersLoop:
    """Run coroutines on the loop of whoever starts the scheduler; it goes on when that has ended.

    The loop is told before the worker's thread begins, which only reads it.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def use(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run them there from now on; raises EventLoopError while another loop runs them."""
        if self._loop is not None and self._loop is not loop and self._loop.is_running():
            raise EventLoopError("its handlers run on another event loop, which still runs; start and drain it there")
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work``; raises RuntimeError, and runs nothing, if the loop is closed or was never told."""
        try:
            if self._loop is None:
                raise RuntimeError("no event loop was told")
            asyncio.run_coroutine_threadsafe(work, self._loop)
        except BaseException:
            work.close()
            raise

    def close(self) -> None:
        """Do nothing: the loop is the application's."""


class AtHome(NamedTuple):
    """Hold the application's loop, and the engine on which transactional coroutines work."""

    loop: CallersLoop
    engine: AsyncEngine
