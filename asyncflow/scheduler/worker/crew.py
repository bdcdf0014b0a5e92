"""The crew of a task type: those who do its claimed tasks, and the tasks that wait for them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from uuid import UUID

from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.scheduler.loops.callers_loop import Coroutines
from asyncflow.scheduler.loops.threads import Threads, serve
from asyncflow.scheduler.worker.attempt import Attempt
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.handler_call import Tools

_REMEMBERED_ATTEMPTS = 16  # about so many make up what is usual

Finish = Callable[[Attempt, "BaseException | None"], None]


@dataclass(slots=True, eq=False)
class Hand:
    """Do task after task until none waits, on a thread or on the event loop."""

    attempt: Attempt | None = None
    began_at: float | None = None  # the attempt that it makes or made last, on the monotonic clock


class Crew:
    """Have up to ``concurrency`` tasks of one type at work; lives as long as its worker.

    Handing over costs a batch, not each task: a hand that is done takes what waits by itself. ``finish`` is called on
    the hand's thread; all methods are for the worker's.
    """

    def __init__(
        self, task_type: HandlerType, tools: Tools, threads: Threads, event_loop: Coroutines, finish: Finish
    ) -> None:
        self.task_type = task_type
        self._tools = tools
        self._threads = threads
        self._event_loop = event_loop
        self._finish = finish
        self._waiting: deque[Claim] = deque()
        self._hands: set[Hand] = set()
        self._lock = threading.Lock()
        self.usual_seconds: float | None = None  # of the attempts that ended lately; None if none has

    @property
    def runs_low(self) -> bool:
        """Tell whether so few tasks wait that more should be claimed."""
        return len(self._waiting) <= self.task_type.most_claimed // 2

    def adopt(self, task_type: HandlerType) -> None:
        """Go on with other options; attempts that have begun keep theirs."""
        self.task_type = task_type
        self.resume()

    def take(self, claims: Iterable[Claim]) -> None:
        """Let claimed tasks wait for their turn, in their order, which ``resume`` begins."""
        with self._lock:
            self._waiting.extend(claims)

    def resume(self) -> None:
        """Put hands to work, as many as there are tasks and places for; raises if no thread can be had."""
        with self._lock:
            count = min(len(self._waiting), self.task_type.concurrency - len(self._hands))
            hands = [Hand() for _ in range(count)]
            self._hands.update(hands)
        started = 0
        try:
            for hand in hands:
                self._start(hand)
                started += 1
        finally:
            if started < len(hands):
                with self._lock:
                    self._hands.difference_update(hands[started:])

    def waiting(self) -> list[Claim]:
        """Return the claims whose handlers have not begun."""
        with self._lock:
            return list(self._waiting)

    def at_work(self) -> list[Attempt]:
        """Return the attempts whose handlers have begun and not ended."""
        with self._lock:
            return [hand.attempt for hand in self._hands if hand.attempt is not None]

    def withdraw(self, lost: Collection[UUID] | None = None) -> list[Claim]:
        """Let the waiting tasks with these ids, by default all, not begin any more; return their claims."""
        with self._lock:
            kept, claims = deque[Claim](), list[Claim]()
            for claim in self._waiting:
                (claims if lost is None or claim.task.id in lost else kept).append(claim)
            self._waiting = kept
        return claims

    def give_up(self, attempt: Attempt) -> None:
        """Free the place of an attempt that is over although its handler has not ended."""
        attempt.give_up()
        with self._lock:
            self._hands = {hand for hand in self._hands if hand.attempt is not attempt}
        self.resume()

    def _start(self, hand: Hand) -> None:
        if self.task_type.is_coroutine:
            self._event_loop.run(self._work_async(hand))
        else:
            self._threads.run(lambda: self._work(hand))

    def _work(self, hand: Hand) -> None:
        attempt = self._next(hand)
        # Only for a hand that finds something: of several that are put to work at once, the first often does it all.
        in_turn = self.task_type.around.in_turn() if attempt is not None and self.task_type.around else None
        while attempt is not None:
            self._end(hand, attempt, attempt.call(in_turn))
            attempt = self._next(hand)

    async def _work_async(self, hand: Hand) -> None:
        serve(self._event_loop)
        while (attempt := self._next(hand)) is not None:
            self._end(hand, attempt, await attempt.call_async())
            if _is_cancelled():
                with self._lock:
                    self._hands.discard(hand)
                return

    def _next(self, hand: Hand) -> Attempt | None:
        """Begin the next attempt; None, which ends the hand, if there is none or its claim may have run out."""
        with self._lock:
            if hand not in self._hands:
                return None
            now = time.monotonic()
            if hand.began_at is not None:
                self._learn(now - hand.began_at)
            if not self._waiting or self._waiting[0].held_until < now:
                self._hands.discard(hand)
                return None
            hand.began_at = now
            hand.attempt = attempt = Attempt.begin(self._waiting[0], self.task_type, self._tools)
            self._waiting.popleft()
            return attempt

    def _learn(self, seconds: float) -> None:
        """Know how long an attempt took that has ended, of those that nobody has given up."""
        usual = self.usual_seconds
        self.usual_seconds = seconds if usual is None else usual + (seconds - usual) / _REMEMBERED_ATTEMPTS

    def _end(self, hand: Hand, attempt: Attempt, error: BaseException | None) -> None:
        # First, so that no attempt that has ended is found overdue.
        hand.attempt = None
        if attempt.context is not None:
            attempt.end()
        self._finish(attempt, error)


def _is_cancelled() -> bool:
    """Tell whether the running task is to end, as those of a loop that ends; before Python 3.11 no task knows."""
    task = asyncio.current_task()
    return task is not None and getattr(task, "cancelling", int)() > 0
