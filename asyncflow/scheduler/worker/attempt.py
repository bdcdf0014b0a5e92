"""One attempt at one task: from its beginning to its end, watched all the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from asyncflow.errors import ClaimLostError
from asyncflow.events import AttemptFailed, Hooks
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.declarations.signals import NotDone
from asyncflow.outbox.outcome.follow_up import has_follow_up, takes_result
from asyncflow.outbox.outcome.telling import is_told
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import has_own_headers
from asyncflow.scheduler.connections.calls import awaits_database
from asyncflow.scheduler.connections.vain_calls import VainCalls
from asyncflow.scheduler.loops.aside import aside
from asyncflow.scheduler.worker.claim_facts import ClaimFacts
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.handler_call import HandlerCall, Tools
from asyncflow.scheduler.worker.task_context import TaskContext
from asyncflow.scheduler.worker.verdict import Verdict
from asyncflow.scheduler.worker.within import await_within, call_within

_PAUSE_SECONDS = 1.0  # before a task is tried again whose beginning could not be written


@dataclass(slots=True, eq=False)
class Attempt(HandlerCall):
    """Hold a claim while its handler works; watched by the worker's thread."""

    overdue_at: float = field(kw_only=True)  # on the monotonic clock
    is_over: bool = False  # judged: what the handler still does counts no more
    fault: Exception | None = None  # why it could not begin, judged as if its handler had raised it
    interrupt: Callable[[], Any] = lambda: None  # ends a coroutine; a thread cannot be ended
    end_calls: Callable[[], Any] = lambda: None  # of the database, that a transactional handler waits for

    @property
    def is_wanted(self) -> bool:
        """Tell whether what the handler does counts."""
        return not self.is_over

    @property
    def began_at(self) -> float:
        """Return when it began, on the monotonic clock."""
        return self.overdue_at - self.task_type.max_processing_time_seconds

    @classmethod
    def begin(cls, claim: Claim, task_type: HandlerType, tools: Tools) -> Attempt:
        """Begin to count the time of an attempt."""
        overdue_at = time.monotonic() + task_type.max_processing_time_seconds
        attempt = cls(claim, task_type, tools, overdue_at=overdue_at)
        try:
            if task_type.keep_result or has_own_headers(claim.task.headers_json):
                _expect(claim, task_type)  # first: a task whose context cannot be read is told of, too
            if (task_type.signature is not None and task_type.signature.takes_context) or task_type.around:
                reached = None if claim.context is None else orjson.loads(claim.context)
                attempt.context = TaskContext(ClaimFacts(claim, task_type, tools, overdue_at, reached))
        except Exception as error:  # noqa: BLE001 - of one task; the hand that begins it goes on
            attempt.fault = error
        return attempt

    def end(self) -> None:
        """Let go of what only the handler needed: an attempt waits for its settle, and others are made meanwhile."""
        self.context = None

    def give_up(self) -> None:
        """Count what the handler still does no more, and ask it to end."""
        self.is_over = True
        self.lose()
        self.interrupt()

    def lose(self) -> None:
        """Ask the handler to end, for its claim is not its own; what it would commit with its task cannot commit."""
        self.cancel()
        if self._commits_in_vain():
            self.end_calls()

    def _commits_in_vain(self) -> bool:
        return self.joint is not None and not self.joint.is_committed

    def cancel(self) -> None:
        """Ask the handler to end."""
        if (context := self.context) is not None:  # which another thread lets go of
            context.cancel()

    def call(self) -> BaseException | None:
        """Call the handler, a function; return what it raised. Nothing that it raises gets out."""
        calls = VainCalls(self._commits_in_vain) if self.task_type.transactional else None
        try:
            if calls is not None:
                self.end_calls = calls.end
            if self.fault is not None or self.claim.is_suspect:
                self._write_down()
            if self.task_type.around and self.context is not None:
                call_within(self.task_type.around, self.context, self.work)
            else:
                self.work()
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler must not end the worker's thread
            return error
        finally:
            if calls is not None:
                calls.close()
        return None

    async def call_async(self) -> BaseException | None:
        """Await the handler, a coroutine, as a task of its own; return what it raised. Nothing of it gets out."""
        loop, call = asyncio.get_running_loop(), asyncio.ensure_future(self._await_handler())
        self.interrupt = partial(_cancel, loop, call.cancel)
        self.end_calls = partial(_cancel, loop, lambda: awaits_database(call) and call.cancel())
        if self.is_over:
            call.cancel()
        try:
            return await call
        except asyncio.CancelledError as error:  # before its first step
            return error

    async def _await_handler(self) -> BaseException | None:
        try:
            if self.claim.is_suspect or self.fault is not None:
                await aside(self._write_down)
            if self.task_type.around and self.context is not None:
                await await_within(self.task_type.around, self.context, self.work_async)
            else:
                await self.work_async()
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler must not end the event loop
            return error
        return None

    def _write_down(self) -> None:
        """Let the attempt count from here on, where the claim did not say so already; raises its fault."""
        if self.fault is not None:
            raise self.fault
        if not self.claim.is_suspect:
            return
        try:
            self.tools.source.begin(self.claim)
        except ClaimLostError:
            raise
        except Exception as error:
            raise NotDone(_PAUSE_SECONDS, f"the beginning could not be written down: {error}") from error


def tell_of_failure(hooks: Hooks, attempt: Attempt, error: BaseException, verdict: Verdict) -> None:
    """Tell what a handler raised, if that was a failed attempt, before its outcome is written."""
    is_retried = verdict.status is Status.PENDING and verdict.is_spent
    if not (is_retried or verdict.status is Status.FAILED):
        return
    task = attempt.claim.task
    hooks.emit(
        AttemptFailed(
            task.id,
            task.task_type,
            task.key,
            attempt.claim.attempt,
            attempt.task_type.most_retries(task.max_retries) + 1,
            verdict.delay_seconds if is_retried else None,
            error,
            attempt.claim.queue_seconds,
        )
    )


def _cancel(loop: asyncio.AbstractEventLoop, cancel: Callable[[], Any]) -> None:
    """Cancel a call, from any thread; on a loop that is closed it has ended already."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(cancel)


def _expect(claim: Claim, task_type: HandlerType) -> None:
    """Know what the task leaves when it is done."""
    headers = claim.task.headers_json
    follow_up, told = has_follow_up(headers), is_told(headers)
    claim.expect(result=task_type.keep_result or takes_result(headers), follow_up=follow_up, told=told)
