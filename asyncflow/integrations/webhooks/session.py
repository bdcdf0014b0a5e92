"""The requests of one publisher, from its first message to its end."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from asyncflow.integrations.webhooks.courier import Courier
from asyncflow.integrations.webhooks.posts import Post, PostMaker
from asyncflow.scheduler.loops.threads import EventLoop
from asyncflow.scheduler.publishing.publisher import Record
from asyncflow.scheduler.publishing.sessions.client_session import ClientSession
from asyncflow.scheduler.publishing.sessions.suspects import Finding

T = TypeVar("T")


class WebhookSession(ClientSession):
    """Send through one pool of connections, until its publisher is closed.

    The publisher's thread waits while an event loop, on a thread of its own, sends: so every request can be given up
    in time. Another thread may ``end`` it.
    """

    def __init__(self, maker: PostMaker, courier: Courier) -> None:
        super().__init__()
        self._maker = maker
        self._courier = courier
        self._loop = EventLoop()

    def leave_to_parent(self) -> None:
        """Do nothing: nobody runs the loop in the child, and the loop itself is left to the parent."""

    def _deliver(self, batch: Sequence[Record], deadline: float) -> list[Finding]:
        made = self._maker.make_all(batch)
        posts = [one for one in made if isinstance(one, Post)]
        outcomes = iter(self._run(self._courier.deliver(posts, deadline)) if posts else ())
        return [next(outcomes) if isinstance(one, Post) else one for one in made]

    def _interrupt(self) -> None:
        self._loop.run(self._stop())

    async def _stop(self) -> None:
        self._courier.stop()

    def _end_client(self, patience_seconds: float) -> None:
        self._run(self._courier.end())
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future: Future[T] = Future()
        self._loop.run(_fulfil(future, work))
        return future.result()


async def _fulfil(future: Future[T], work: Coroutine[Any, Any, T]) -> None:
    try:
        result = await work
    except BaseException as error:  # noqa: BLE001 - raised where the future is waited for
        future.set_exception(error)
    else:
        future.set_result(result)
