"""The worker: claims tasks, has their handlers do them, and settles what became of them."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Engine

from asyncflow.outbox import Outbox
from asyncflow.outbox.events import Hooks, SettleFenced, TaskFailed, TaskRetried, TasksSettled
from asyncflow.outbox.handler_type import HandlerType
from asyncflow.outbox.status import Status
from asyncflow.scheduler.attempt import Attempt
from asyncflow.scheduler.claims import Claim, Claims, Written
from asyncflow.scheduler.ownership import Ownership
from asyncflow.scheduler.pause import AdaptivePause
from asyncflow.scheduler.queries import Head
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.threads import EventLoop, Threads
from asyncflow.scheduler.verdict import GIVEN_BACK, Verdict, verdict_of

DESTINATION = "handlers"  # under which the events tell of it
_MOST_PAGES = 64  # in one claim, of each type
_LONG = 86400.0
_LOOK_SECONDS = 0.05  # while a stop or a drain waits for handlers
_PART_OF_STOP = 0.8  # of the time to stop that handlers get; the rest is for writing what became of them


class Worker:
    """Step by step settle, renew, give up and claim; lives as long as its scheduler, one thread steps it.

    Claims no more tasks of a type than its ``concurrency`` has room for: a claimed task has spent an attempt, and one
    that only waited would pay for a neighbour that ends the process. A claim outlives the hand-over of its shard.
    """

    def __init__(
        self, outbox: Outbox, engine: Engine, ownership: Ownership, settings: SchedulerSettings, hooks: Hooks
    ) -> None:
        self.on_finished: Callable[[], None] = lambda: None
        self._outbox = outbox
        self._engine = engine
        self._ownership = ownership
        self._settings = settings
        self._hooks = hooks
        deletes = settings.on_success == "delete"
        self._claims = Claims(outbox, engine, ownership.owner, settings.claim_lease_seconds, deletes=deletes)
        self._pause = AdaptivePause(settings.min_pause_seconds, settings.max_pause_seconds)
        self._threads = Threads()
        self._event_loop = EventLoop()
        self._running: set[Attempt] = set()
        self._finished: deque[tuple[Attempt, BaseException | None]] = deque()
        self._judged: list[tuple[Claim, Verdict]] = []  # kept until they are written
        self._some_finished = threading.Event()
        self._renew_at = 0.0

    def step(self) -> float:
        """Do one round; return the seconds until the next look, 0 after one that found work."""
        self._tend()
        types = {name: kind for name, kind in self._outbox.handler_types.items() if kind.handler is not None}
        if not types:
            return self._settings.max_pause_seconds
        wait = self._claim(types)
        if wait == 0:
            self._pause.reset()
            return 0.0
        return min(self._pause.after_nothing(wait), self._seconds_until_care())

    def expect_work(self) -> None:
        """Look often again, for a commit was announced."""
        self._pause.reset()

    def drain(self, beat: Callable[[], None]) -> None:
        """Work until nothing is due and no handler is at work; ``beat`` is called between the rounds."""
        while self.step() == 0 or self._running:
            beat()
            self._await_some()

    def close(self) -> None:
        """Let the handlers at work end, give back what does not, and release threads and connection."""
        for attempt in self._running:
            attempt.context.cancel()
        until = time.monotonic() + self._settings.stop_timeout_seconds * _PART_OF_STOP
        while self._running and time.monotonic() < until:
            self._await_some()
            self._tend()
        for attempt in list(self._running):
            self._judge(attempt, GIVEN_BACK)
            attempt.interrupt()
        self._settle()
        self._threads.close()
        self._event_loop.close()
        self._claims.close()

    # -- claiming ----------------------------------------------------------------------------------------

    def _claim(self, types: dict[str, HandlerType]) -> float:
        """Claim and begin what there is room for; return 0, or the seconds until something else may be due."""
        at_work = Counter(attempt.task_type.name for attempt in self._running)
        free = {name: kind.concurrency - at_work[name] for name, kind in types.items()}
        if not any(count > 0 for count in free.values()):
            return _LONG
        with self._ownership.in_use() as hold:
            heads = [head for head in self._claims.heads() if head.shard in hold and free.get(head.task_type, 0) > 0]
            due = [head for head in heads if head.due_in_seconds <= 0]
            claims = self._claims.claim(_pages(due, free)) if due else []
        for claim in claims:
            self._begin(claim, types[claim.task.task_type])
        return 0.0 if claims else min((head.due_in_seconds for head in heads), default=_LONG)

    def _begin(self, claim: Claim, task_type: HandlerType) -> None:
        attempt = Attempt.begin(claim, task_type, self._claims, self._outbox.max_message_bytes)
        if not self._running:
            self._renew_at = time.monotonic() + self._settings.claim_lease_seconds / 3
        self._running.add(attempt)
        if task_type.is_coroutine:
            attempt.interrupt = self._event_loop.run(self._await(attempt))
        else:
            self._threads.run(lambda: self._finish(attempt, attempt.call(self._engine, self._claims)))

    async def _await(self, attempt: Attempt) -> None:
        self._finish(attempt, await attempt.call_async())

    def _finish(self, attempt: Attempt, error: BaseException | None) -> None:
        """Take in, on the handler's thread, that it is done."""
        self._finished.append((attempt, error))
        self._some_finished.set()
        self.on_finished()

    # -- looking after what is at work ---------------------------------------------------------------------

    def _tend(self) -> None:
        self._take_in_finished()
        self._give_up_overdue()
        self._settle()
        self._renew_if_due()

    def _take_in_finished(self) -> None:
        own_commits = fenced = 0
        while self._finished:
            attempt, error = self._finished.popleft()
            own_commits += attempt.is_settled
            if attempt.is_settled:
                self._running.discard(attempt)
            elif attempt.is_over:
                fenced += 1
            else:
                claim = attempt.claim
                self._judge(attempt, verdict_of(error, attempt.task_type, claim.attempt, claim.task.max_retries))
        if own_commits:
            self._hooks.emit(TasksSettled(DESTINATION, own_commits, 0, 0, 0.0))
        if fenced:
            self._hooks.emit(SettleFenced(DESTINATION, fenced))

    def _give_up_overdue(self) -> None:
        now = time.monotonic()
        for attempt in [attempt for attempt in self._running if attempt.overdue_at <= now]:
            kind, claim = attempt.task_type, attempt.claim
            attempt.context.cancel()
            attempt.interrupt()
            error = TimeoutError(f"took longer than max_processing_time_seconds, {kind.max_processing_time_seconds:g}")
            self._judge(attempt, verdict_of(error, kind, claim.attempt, claim.task.max_retries))

    def _judge(self, attempt: Attempt, verdict: Verdict) -> None:
        attempt.is_over = True
        self._running.discard(attempt)
        self._judged.append((attempt.claim, verdict))

    def _settle(self) -> None:
        if not self._judged:
            return
        began = time.perf_counter()
        written = self._claims.settle(self._judged)
        self._judged = []
        self._tell(written, time.perf_counter() - began)

    def _renew_if_due(self) -> None:
        if not self._running or time.monotonic() < self._renew_at:
            return
        lost = self._claims.renew(attempt.claim for attempt in self._running if not attempt.is_settled)
        self._renew_at = time.monotonic() + self._settings.claim_lease_seconds / 3
        for attempt in self._running:
            if attempt.claim.task.raw_id in lost:
                attempt.context.cancel()

    def _seconds_until_care(self) -> float:
        if not self._running:
            return _LONG
        soonest = min(self._renew_at, *(attempt.overdue_at for attempt in self._running))
        return max(0.001, soonest - time.monotonic())

    def _await_some(self) -> None:
        self._some_finished.wait(_LOOK_SECONDS)
        self._some_finished.clear()

    def _tell(self, written: Sequence[Written], seconds: float) -> None:
        counts: Counter[Status] = Counter()
        fenced = 0
        for verdict, claims, changed in written:
            counts[verdict.status] += changed
            fenced += len(claims) - changed
            if changed == len(claims):
                self._tell_of_each(verdict, claims)
        if fenced:
            self._hooks.emit(SettleFenced(DESTINATION, fenced))
        done, retried, failed = (counts[status] for status in (Status.SUCCESS, Status.PENDING, Status.FAILED))
        self._hooks.emit(TasksSettled(DESTINATION, done, retried, failed, seconds))

    def _tell_of_each(self, verdict: Verdict, claims: Sequence[Claim]) -> None:
        for claim in claims:
            task, attempt, error = claim.task, claim.attempt, verdict.error
            if verdict.status is Status.FAILED:
                self._hooks.emit(TaskFailed(task.id, task.task_type, attempt, error))
            elif verdict.status is Status.PENDING and verdict.is_spent:
                self._hooks.emit(TaskRetried(task.id, task.task_type, attempt, verdict.delay_seconds, error))


def _pages(due: Iterable[Head], free: dict[str, int]) -> Iterable[tuple[list[Head], int]]:
    """Return the heads to read of each type, earliest order_time first, with the number of rows there is room for."""
    of_types: dict[str, list[Head]] = {}
    for head in sorted(due, key=lambda head: head.due_in_seconds):
        of_types.setdefault(head.task_type, []).append(head)
    return [(heads[: min(_MOST_PAGES, free[name])], free[name]) for name, heads in of_types.items()]
