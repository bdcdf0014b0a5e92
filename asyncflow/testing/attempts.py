"""Handlers at work in a drain."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from asyncflow.callables import is_coroutine
from asyncflow.outbox import HandlerType, Outbox, RetryTask, Status
from asyncflow.outbox.arguments.signature import CONTEXT, Signature
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.outcome.follow_up import takes_result
from asyncflow.outbox.task import headers_of
from asyncflow.scheduler.worker.handler_call import decrypted_arguments
from asyncflow.scheduler.worker.leaving.results import Result, result_of
from asyncflow.scheduler.worker.task_context import TaskContext
from asyncflow.scheduler.worker.transactional.enclosing_commit import work_in
from asyncflow.scheduler.worker.verdict import SUCCEEDED, Verdict, verdict_of
from asyncflow.testing.calls import Calls, Committed
from asyncflow.testing.contexts import task_context
from asyncflow.testing.performing import handler_of, within
from asyncflow.testing.rows import Rows, task_of

if TYPE_CHECKING:
    from asyncflow.outbox.declarations.handler_type import Enclose


class Attempts:
    """Let handlers do tasks, one attempt each; lives for one drain."""

    def __init__(self, rows: Rows, outbox: Outbox, calls: Calls) -> None:
        self._rows = rows
        self._outbox = outbox
        self._calls = calls

    def attempt(self, row: Any) -> None:
        """Do a task once, and write what becomes of it as a worker would."""
        if (held := self._rows.take(row)) is None:
            return
        kind = self._outbox.handler_types[row.task_type]
        _, stage, context, attempt, _ = held
        ctx = task_context(
            row.task_type,
            id=row.id,
            key=row.task_key,
            headers=headers_of(row.headers),
            attempt=attempt,
            stage=stage,
            context=None if context is None else orjson.loads(context),
            seconds_left=kind.max_processing_time_seconds,
        )
        committed = Committed()
        results: list[Result] = []
        error = self._error_of(kind, row, ctx, committed, results)
        if ctx.stage is not None and ctx.stage != stage:
            self._rows.checkpoint(row, ctx.stage, None if ctx.context is None else orjson.dumps(ctx.context).decode())
        verdict = SUCCEEDED if committed.is_true else verdict_of(error, kind, attempt, row.max_retries)
        is_fault = error is not None and (committed.is_true or _is_fault(error, verdict))
        self._rows.settle(row, verdict, error if is_fault else None, results[0] if results else None)

    def _error_of(
        self, kind: HandlerType, row: Any, ctx: TaskContext, committed: Committed, results: list[Result]
    ) -> Exception | None:
        """Call the handler; return what it raised. What is no Exception goes on: a test may be asked to end."""
        handler, signature = handler_of(kind), kind.handling().signature
        if kind.keep_result or takes_result(row.headers):
            most = self._outbox.max_message_bytes
            handler = _telling(handler, lambda returned: results.append(result_of(returned, kind, most)))
        try:
            given = self._arguments(signature, row)
            if signature.takes_context:
                given[CONTEXT] = ctx
            call: Callable[[], Any]
            if kind.enclose is not None and kind.is_enclosed:
                call = partial(_enclosed, kind.enclose, partial(handler, **given))
            elif kind.transactional:
                call = self._calls.in_session(handler, given, committed)
            else:
                call = partial(handler, **given)
            self._calls.finish(within(kind, ctx, call))
        except Exception as error:  # noqa: BLE001 - kept, and raised when all is done
            return error
        return None

    def _arguments(self, signature: Signature, row: Any) -> dict[str, Any]:
        if is_encrypted(row.headers):
            return decrypted_arguments(self._outbox.encryption, signature, task_of(row))
        return signature.stored(orjson.loads(row.payload or b"{}"))


def _telling(handler: Callable[..., Any], tell: Callable[[Any], None]) -> Callable[..., Any]:
    """Return the handler, which tells what it returned before anything is committed."""

    def call(**given: Any) -> None:
        tell(handler(**given))

    async def call_async(**given: Any) -> None:
        tell(await handler(**given))

    return call_async if is_coroutine(handler) else call


def _enclosed(enclose: Enclose, call: Callable[[], Any]) -> Any:
    """Call a handler in the application's own transaction, which is a savepoint in the test's."""
    return work_in(enclose, lambda _: call())


def _is_fault(error: Exception, verdict: Verdict) -> bool:
    """Tell whether an error is none by which a handler says on purpose how its task goes on."""
    if verdict.status is Status.FAILED:
        return True
    return verdict.status is Status.PENDING and verdict.is_spent and not isinstance(error, RetryTask)
