"""The requests by which a worker is given tasks, each on a thread, so that the worker need not wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from asyncflow.integrations.flowsvr.client.answers import Held
from asyncflow.scheduler.loops.pause import AdaptivePause
from asyncflow.scheduler.loops.threads import Threads

Ask = Callable[[Mapping[str, int], float], Held]
Arrive = Callable[[Held, float], None]
Fail = Callable[[Exception], None]

_SHORT_WAIT_SECONDS = 1.0  # of a request that asks for some of the types alone


class Holds:
    """Keep one request under way for each task type with room, and as few requests as that takes.

    A request names how many tasks it may bring; until it is answered, no other one asks for its types, for the room is
    spoken for. One for all types may wait long for a task; one for some waits a second, so that it soon asks with the
    others again. ``arrive`` and ``fail`` are called on the request's thread.
    """

    def __init__(self, ask: Ask, arrive: Arrive, fail: Fail, *, wait_seconds: float, pause: AdaptivePause) -> None:
        self._ask = ask
        self._arrive = arrive
        self._fail = fail
        self._wait_seconds = wait_seconds
        self._pause = pause
        self._threads = Threads()
        self._changed = threading.Condition()
        self._under_way: set[object] = set()  # the types that are asked for, and what is done aside
        self._at_end: Callable[[], None] | None = None
        self._found_nothing: set[str] = set()
        self._next_at = 0.0
        self._is_closed = False

    def want(self, free: Mapping[str, int], known: Iterable[str]) -> float:
        """Ask for tasks of types that nobody asks for; return the seconds until it is time to ask for more."""
        with self._changed:
            wanted = {name: count for name, count in free.items() if name not in self._under_way}
            # What found nothing waits for the others, at most their second, to ask together.
            if self._is_closed or not wanted or (self._under_way and wanted.keys() <= self._found_nothing):
                return _SHORT_WAIT_SECONDS
            left = self._next_at - time.monotonic()
            if left > 0:
                return left
            self._under_way |= wanted.keys()
        wait = self._wait_seconds if wanted.keys() >= set(known) else min(_SHORT_WAIT_SECONDS, self._wait_seconds)
        self._threads.run(lambda: self._hold(wanted, wait))
        return _SHORT_WAIT_SECONDS

    def aside(self, work: Callable[[], None]) -> None:
        """Run ``work``, which must not raise, on a thread; ``close`` waits for it as for an answer."""
        with self._changed:
            self._under_way.add(work)
        self._threads.run(lambda: self._work_aside(work))

    def close(self, timeout_seconds: float, at_end: Callable[[], None]) -> None:
        """Ask no more, and wait for the answers under way; call ``at_end`` once they are here, if need be later."""
        with self._changed:
            self._is_closed, self._at_end = True, at_end
            self._changed.wait_for(lambda: not self._under_way, timeout_seconds)
        self._end_if_done()
        self._threads.close()

    def stop_asking(self) -> None:
        """Ask no more, and do not wait."""
        with self._changed:
            self._is_closed = True

    def _work_aside(self, work: Callable[[], None]) -> None:
        try:
            work()
        finally:
            with self._changed:
                self._under_way.discard(work)
                self._changed.notify_all()
            self._end_if_done()

    def _end_if_done(self) -> None:
        with self._changed:
            if self._under_way or self._at_end is None:
                return
            at_end, self._at_end = self._at_end, None
        at_end()

    def _hold(self, limits: Mapping[str, int], wait_seconds: float) -> None:
        began = time.monotonic()
        pause = 0.0
        found: set[str] = set()
        try:
            held = self._ask(limits, wait_seconds)
            found = {task.task_type for task in held.tasks}
            self._arrive(held, began)
            if found:
                self._pause.reset()
            elif time.monotonic() - began < wait_seconds / 2:
                # Nobody waited there: the types are unknown, what came was unreadable, or the service is told not to.
                pause = self._pause.after_nothing(float("inf"))
        except Exception as error:  # noqa: BLE001 - an answer of another form is told and asked for again, too
            self._fail(error)
        finally:
            with self._changed:
                self._under_way -= limits.keys()
                self._found_nothing = (self._found_nothing | limits.keys()) - found
                self._next_at = time.monotonic() + pause
                self._changed.notify_all()
            self._end_if_done()
