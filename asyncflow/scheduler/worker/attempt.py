"""One attempt at one task: the call of its handler, on a thread or on the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Engine

from asyncflow.errors import ClaimLostError, InvalidStageError, OptionError
from asyncflow.events import AttemptFailed, Hooks
from asyncflow.leash import Leash, on_leash
from asyncflow.outbox.arguments.signature import Signature
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.declarations.signals import NotDone
from asyncflow.outbox.outcome.follow_up import has_follow_up, takes_result
from asyncflow.outbox.status import Status
from asyncflow.scheduler.loops.callers_loop import AtHome
from asyncflow.scheduler.worker.claim_source import Claim, ClaimSource
from asyncflow.scheduler.worker.leaving.results import result_of
from asyncflow.scheduler.worker.task_context import Save, TaskContext
from asyncflow.scheduler.worker.transactional.async_joint_commit import AsyncJointCommit
from asyncflow.scheduler.worker.transactional.enclosing_commit import EnclosingCommit
from asyncflow.scheduler.worker.transactional.joint_commit import JointCommit
from asyncflow.scheduler.worker.verdict import Verdict
from asyncflow.scheduler.worker.within import await_within, call_within

_PAUSE_SECONDS = 1.0  # before a task is tried again whose beginning could not be written


class Tools(NamedTuple):
    """Hold what all attempts of one worker use; coroutines are ``at_home`` with the application."""

    source: ClaimSource
    engine: Engine | None
    max_context_bytes: int
    at_home: AtHome | None = None


@dataclass(slots=True, eq=False)
class Attempt:
    """Hold a claim while its handler works; watched by the worker's thread."""

    claim: Claim
    task_type: HandlerType
    tools: Tools
    overdue_at: float  # on the monotonic clock
    context: TaskContext | None = None  # for a handler that takes one, or has something around it
    is_settled: bool = False  # by the handler's own transaction
    is_over: bool = False  # judged: what the handler still does counts no more
    fault: Exception | None = None  # why it could not begin, judged as if its handler had raised it
    interrupt: Callable[[], Any] = lambda: None  # ends a coroutine; a thread cannot be ended

    @property
    def began_at(self) -> float:
        """Return when it began, on the monotonic clock."""
        return self.overdue_at - self.task_type.max_processing_time_seconds

    @classmethod
    def begin(cls, claim: Claim, task_type: HandlerType, tools: Tools) -> Attempt:
        """Begin to count the time of an attempt."""
        attempt = cls(claim, task_type, tools, time.monotonic() + task_type.max_processing_time_seconds)
        try:
            if (task_type.signature is not None and task_type.signature.takes_context) or task_type.around:
                attempt.context = _context_of(claim, task_type, tools)
            if task_type.keep_result or claim.task.headers_json is not None:
                _expect(claim, task_type)
        except Exception as error:  # noqa: BLE001 - of one task; the hand that begins it goes on
            attempt.fault = error
        return attempt

    def give_up(self) -> None:
        """Count what the handler still does no more, and ask it to end."""
        self.is_over = True
        self.cancel()
        self.interrupt()

    def cancel(self) -> None:
        """Ask the handler to end."""
        if self.context is not None:
            self.context.cancel()

    def call(self) -> BaseException | None:
        """Call the handler, a function; return what it raised. Nothing that it raises gets out."""
        try:
            self._write_down()
            if self.task_type.around and self.context is not None:
                call_within(self.task_type.around, self.context, self._work)
            else:
                self._work()
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler must not end the worker's thread
            return error
        return None

    async def call_async(self) -> BaseException | None:
        """Await the handler, a coroutine, as a task of its own; return what it raised. Nothing of it gets out."""
        call = asyncio.ensure_future(self._await_handler())
        self.interrupt = partial(_cancel, asyncio.get_running_loop(), call)
        if self.is_over:
            call.cancel()
        try:
            return await call
        except asyncio.CancelledError as error:  # before its first step
            return error

    async def _await_handler(self) -> BaseException | None:
        try:
            if self.claim.is_suspect or self.fault is not None:
                await asyncio.to_thread(self._write_down)
            if self.task_type.around and self.context is not None:
                await await_within(self.task_type.around, self.context, self._work_async)
            else:
                await self._work_async()
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a handler must not end the event loop
            return error
        return None

    async def _work_async(self) -> None:
        if self.task_type.transactional:
            await self._await_in_session()
        else:
            await self._await_call()

    async def _await_call(self, **given: Any) -> None:
        handler, signature = self.task_type.handling()
        returned = await on_leash(handler(**self._arguments(signature), **given))
        if self.claim.wants_result:
            self._take(returned)

    async def _await_in_session(self) -> None:
        """Give the coroutine an AsyncSession whose commit, the coroutine's own or ours, settles the task as well."""
        tools = self.tools
        if tools.engine is None or tools.at_home is None:
            raise no_async_engine(self.task_type.name)
        joint = AsyncJointCommit(tools.source, tools.engine, tools.at_home.engine, self.claim)
        try:
            await joint.run_async(lambda session: self._await_call(session=session))
        finally:
            self.is_settled = joint.is_committed

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

    def _work(self) -> None:
        if self.task_type.is_enclosed:
            self._call_enclosed()
        elif self.task_type.transactional:
            self._call_in_session()
        else:
            self._call_handler()

    def _call_handler(self, **given: Any) -> None:
        handler, signature = self.task_type.handling()
        arguments = self._arguments(signature)
        with Leash():
            returned = handler(**arguments, **given)
        if self.claim.wants_result:
            self._take(returned)

    def _take(self, returned: Any) -> None:
        """Keep what the handler returned, to be written with the outcome."""
        self.claim.result = result_of(returned, self.task_type, self.tools.max_context_bytes)

    def _arguments(self, signature: Signature) -> dict[str, Any]:
        arguments = signature.revive(orjson.loads(self.claim.task.payload or b"{}"))
        if signature.takes_context:
            arguments["ctx"] = self.context
        return arguments

    def _call_in_session(self) -> None:
        """Give the handler a Session whose commit, the handler's own or ours, settles the task as well."""
        engine = self.tools.engine
        if engine is None:
            raise no_engine(self.task_type.name)
        joint = JointCommit(self.tools.source, engine, self.claim)
        try:
            joint.run(lambda session: self._call_handler(session=session))
        finally:
            self.is_settled = joint.is_committed

    def _call_enclosed(self) -> None:
        """Call the handler in the application's own transaction, whose commit settles the task as well."""
        engine, enclose = self.tools.engine, self.task_type.enclose
        if engine is None or enclose is None:
            raise no_engine(self.task_type.name)
        joint = EnclosingCommit(self.tools.source, engine, self.claim, enclose)
        try:
            joint.run(self._call_handler)
        finally:
            self.is_settled = joint.is_committed


def tell_of_failure(hooks: Hooks, attempt: Attempt, error: BaseException | None, verdict: Verdict) -> None:
    """Tell what a handler raised, if that was a failed attempt, before its outcome is written."""
    is_retried = verdict.status is Status.PENDING and verdict.is_spent
    if error is None or not (is_retried or verdict.status is Status.FAILED):
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
        )
    )


def no_engine(name: str) -> OptionError:
    """Return the error of a transactional handler in a worker that was given no database."""
    return OptionError(
        f"the handler of {name!r} is transactional, but an Outbox has no engine to work on; "
        f"give a Scheduler whose database has the service's task table, or leave transactional out"
    )


def _cancel(loop: asyncio.AbstractEventLoop, call: asyncio.Future[Any]) -> None:
    """Cancel the call, from any thread; on a loop that is closed it has ended already."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call.cancel)


def no_async_engine(name: str) -> OptionError:
    """Return the error of a transactional coroutine where no AsyncEngine was given."""
    return OptionError(
        f"the handler of {name!r} is a transactional coroutine, which works in an AsyncSession: run an "
        f"AsyncScheduler(async_engine, outbox, ...) on the application's event loop, or make the handler a function"
    )


def _expect(claim: Claim, task_type: HandlerType) -> None:
    """Know what the task leaves when it is done."""
    headers = claim.task.headers_json
    claim.wants_result |= task_type.keep_result or takes_result(headers)
    claim.leaves |= claim.wants_result or has_follow_up(headers)


def _context_of(claim: Claim, task_type: HandlerType, tools: Tools) -> TaskContext:
    task = claim.task
    return TaskContext(
        id=task.id,
        task_type=task.task_type,
        key=task.key,
        headers=task.headers,
        attempt=claim.attempt,
        stage=claim.stage,
        context=None if claim.context is None else orjson.loads(claim.context),
        deadline=datetime.now(timezone.utc) + timedelta(seconds=task_type.max_processing_time_seconds),
        save=_refuse_stage if task_type.transactional else _saving(claim, tools.source),
        max_context_bytes=tools.max_context_bytes,
    )


def _saving(claim: Claim, source: ClaimSource) -> Save:
    return lambda stage, context: source.checkpoint(claim, stage, context)


def _refuse_stage(stage: str, _: str | None) -> None:
    raise InvalidStageError(
        f"stage {stage!r}: a transactional handler has one commit and no stages; "
        f"leave transactional out, or enqueue a task for the next step in the session"
    )
