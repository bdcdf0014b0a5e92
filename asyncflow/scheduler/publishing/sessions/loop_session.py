"""A session whose client is of asyncio: the publisher's thread waits while a loop, on a thread of its own, sends."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from asyncflow.scheduler.loops.threads import EventLoop
from asyncflow.scheduler.publishing.sessions.client_session import ClientSession

T = TypeVar("T")


class LoopSession(ClientSession):
    """Be a ClientSession whose requests are coroutines: so each can be given up in time. Another thread may ``end`` it.

    What a subclass does in a coroutine it does on the loop's thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loop = EventLoop()

    def leave_to_parent(self) -> None:
        """Do nothing: nobody runs the loop in the child, and the loop itself is left to the parent."""

    @abstractmethod
    async def _give_up(self) -> None:
        """Give up what is under way."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close every connection, once, when nothing is under way."""

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what it returns, or raise what it raises."""
        future: Future[T] = Future()
        self._loop.run(_fulfil(future, work))
        return future.result()

    def _interrupt(self) -> None:
        self._loop.run(self._give_up())

    def _end_client(self, patience_seconds: float) -> None:
        self._run(self._disconnect())
        self._loop.close()


async def _fulfil(future: Future[T], work: Coroutine[Any, Any, T]) -> None:
    try:
        result = await work
    except BaseException as error:  # noqa: BLE001 - raised where the future is waited for
        future.set_exception(error)
    else:
        future.set_result(result)
