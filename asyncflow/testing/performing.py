"""One handler, called as the worker calls it, in the test's own thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, overload

import orjson

from asyncflow.callables import require_done
from asyncflow.errors import InvalidArgumentsError
from asyncflow.outbox import HandlerType, Outbox
from asyncflow.outbox import payload as payloads
from asyncflow.outbox.arguments.signature import CONTEXT, SESSION
from asyncflow.scheduler.worker.task_context import TaskContext
from asyncflow.scheduler.worker.within import await_within, call_within
from asyncflow.testing.contexts import task_context
from asyncflow.testing.outboxes import outbox_of

T = TypeVar("T")


@overload
def perform(task: str, /, *, outbox: Outbox | None = None, ctx: TaskContext | None = None, **arguments: Any) -> Any: ...


@overload
def perform(
    task: Callable[..., T], /, *, outbox: Outbox | None = None, ctx: TaskContext | None = None, **arguments: Any
) -> T: ...


def perform(task: Any, /, *, outbox: Outbox | None = None, ctx: TaskContext | None = None, **arguments: Any) -> Any:
    """Call the handler with arguments that went the way of a task's; return what it returns, raise what it raises.

    ``task`` is the handler or the name of its type; a coroutine is awaited by the caller. ``ctx`` is a
    ``task_context()``, by default of the first attempt. A transactional handler is given ``session``, and commits
    nothing by itself here. Raises what ``enqueue`` raises for arguments at fault, and OptionError where this process
    has no handler.
    """
    kind = outbox_of(task, outbox).handler_types.require(task)
    handler, ctx = handler_of(kind), ctx or task_context(kind.name)
    given = given_arguments(kind, ctx, arguments)
    return within(kind, ctx, lambda: handler(**given))


def within(kind: HandlerType, ctx: TaskContext, call: Callable[[], Any]) -> Any:
    """Call a handler, or return its coroutine, with what its outbox has around it."""
    if not kind.around:
        return call()
    return (await_within if kind.is_coroutine else call_within)(kind.around, ctx, call)


def handler_of(kind: HandlerType) -> Callable[..., Any]:
    """Return the handler of a type, of which is demanded what a worker demands: work that is done.

    Raises OptionError for one that is worked elsewhere.
    """
    handler, whose = kind.handling().handler, f"the handler of {kind.name!r}"

    def call(*given: Any, **named: Any) -> Any:
        returned = handler(*given, **named)
        require_done(whose, returned)
        return returned

    async def call_async(*given: Any, **named: Any) -> Any:
        returned = await handler(*given, **named)
        require_done(whose, returned)
        return returned

    return functools.wraps(handler)(call_async if kind.is_coroutine else call)


def given_arguments(kind: HandlerType, ctx: TaskContext, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return all that the handler is called with; raises InvalidArgumentsError."""
    signature = kind.handling().signature
    session = {SESSION: arguments.pop(SESSION)} if signature.takes_session and SESSION in arguments else {}
    if signature.takes_session and not session:
        raise InvalidArgumentsError(f"{kind.name}() is transactional; give it the test's session: session=")
    body, _ = payloads.encode(kind.check(arguments))
    revived = signature.revive(orjson.loads(body))
    context = {CONTEXT: ctx} if signature.takes_context else {}
    return {**revived, **context, **session}
