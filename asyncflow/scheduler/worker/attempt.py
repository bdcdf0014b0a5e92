"""One attempt at one task: from its beginning to its end, watched all the time."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from asyncflow.errors import ClaimLostError
from asyncflow.events import AttemptFailed, Hooks
from asyncflow.outbox.declarations.around import StandsBriefly, StandsInTurn
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
            headers = claim.task.headers_json
            if task_type.keep_result or (headers is not None and has_own_headers(headers)):
                _expect(claim, task_type)  # first: a task whose context cannot be read is told of, too
            signature, around = task_type.signature, task_type.around
            is_taken = signature is not None and signature.takes_context
            # What stands around most attempts briefly has no use for it.
            if is_taken or (around and (around.brief is None or claim.context is not None)):
                attempt.context = attempt._made_context()
        except Exception as error:  # noqa: BLE001 - of one task; the hand that begins it goes on
            attempt.fault = error
        return attempt

    def _made_context(self) -> TaskContext:
        reached = None if self.claim.context is None else orjson.loads(self.claim.context)
        return TaskContext(ClaimFacts(self.claim, self.task_type, self.tools, self.overdue_at, reached))

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

    def call(self, in_turn: StandsInTurn | None = None) -> BaseException | None:
        """Call the handler, a function; return what it raised. Nothing that it raises gets out.

        ``in_turn`` is what its thread has for the attempts that it makes.
        """
        calls = VainCalls(self._commits_in_vain) if self.task_type.transactional else None
        try:
            if calls is not None:
                self.end_calls = calls.end
            if self.fault is not None or self.claim.is_suspect:
                self._write_down()
            if not (around := self.task_type.around):
                self.work()
            elif (brief := around.brief) is None:  # what was added since the attempt was made stands around it, too
                call_within(around, self.context or self._made_context(), self.work)
            elif in_turn is None or in_turn.hook is not brief:
                contextvars.copy_context().run(self._work_within, brief)
            elif (context := in_turn.begin()) is not None:
                context.run(self.work)
            else:
                call_within([in_turn.around_kept], self.context or self._made_context(), self.work)
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler must not end the worker's thread
            return error
        finally:
            if calls is not None:
                calls.close()
        return None

    def _work_within(self, brief: StandsBriefly) -> None:
        """Call the handler in a context of its own; for most tasks that is all that stands around it."""
        if (factory := brief.begin_attempt()) is None:
            self.work()
        else:
            call_within([factory], self.context or self._made_context(), self.work)

    async def _await_within(self, brief: StandsBriefly) -> None:
        """Await the handler, whose task has a context of its own."""
        if (factory := brief.begin_attempt()) is None:
            await self.work_async()
        else:
            await await_within([factory], self.context or self._made_context(), self.work_async)

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
            if not (around := self.task_type.around):
                await self.work_async()
            elif (brief := around.brief) is not None:
                await self._await_within(brief)
            else:
                await await_within(around, self.context or self._made_context(), self.work_async)
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
