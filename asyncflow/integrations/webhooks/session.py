"""The requests of one publisher, from its first message to its end."""

from __future__ import annotations

import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from asyncflow.integrations.webhooks.courier import CLOSED, Courier
from asyncflow.integrations.webhooks.posts import Post, PostMaker
from asyncflow.scheduler.loops.threads import EventLoop
from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.scheduler.publishing.sessions.suspects import Finding

T = TypeVar("T")


class WebhookSession:
    """Send through one pool of connections, until its publisher is closed.

    The publisher's thread waits while an event loop, on a thread of its own, sends: so every request can be given up
    in time. Another thread may ``end`` it.
    """

    def __init__(self, maker: PostMaker, courier: Courier) -> None:
        self.is_spent = False
        self._maker = maker
        self._courier = courier
        self._loop = EventLoop()
        self._busy = threading.Lock()
        self._has_ended = False

    def attempt(self, batch: Sequence[Record], deadline: float) -> list[Finding]:
        """Send the records; return what became of each, by about ``deadline`` (monotonic seconds)."""
        made = self._maker.make_all(batch)
        posts = [one for one in made if isinstance(one, Post)]
        outcomes = iter(self._deliver(posts, deadline))
        return [next(outcomes) if isinstance(one, Post) else one for one in made]

    def end(self, patience_seconds: float) -> bool:
        """Give up what is under way and end the loop; return whether nothing of it is left. May be called again."""
        self.is_spent = True
        if not self._busy.acquire(blocking=False):
            self._loop.run(self._stop())
            if not self._busy.acquire(timeout=patience_seconds):
                return False
        try:
            if not self._has_ended:
                self._has_ended = True
                self._run(self._courier.end())
                self._loop.close()
        finally:
            self._busy.release()
        return True

    def leave_to_parent(self) -> None:
        """Do nothing: nobody runs the loop in the child, and the loop itself is left to the parent."""

    def _deliver(self, posts: Sequence[Post], deadline: float) -> Sequence[Outcome]:
        with self._busy:
            if self.is_spent:
                return [CLOSED] * len(posts)
            return self._run(self._courier.deliver(posts, deadline)) if posts else ()

    async def _stop(self) -> None:
        self._courier.stop()

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
