"""The call of a handler within the context managers of its outbox."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeVar

from asyncflow.errors import AroundError, OptionError
from asyncflow.leash import Leash, on_leash
from asyncflow.outbox.declarations.around import AroundFactory, SetsContext, name_of
from asyncflow.outbox.declarations.signals import HandlerSignal
from asyncflow.scheduler.worker.task_context import TaskContext
from asyncflow.text import shown

T = TypeVar("T")
_Exit = tuple[Any, Any, Any]
_Entered = tuple[AroundFactory, Any]
_CLEAN: _Exit = (None, None, None)


def call_within(around: Sequence[AroundFactory], ctx: TaskContext, work: Callable[[], T]) -> T:
    """Call ``work`` inside all of them, the first outermost; return what it returns.

    What it raises goes through each of them and is raised here, whatever they return. What one of them raises itself
    is raised as AroundError, with its name; a HandlerSignal of theirs as it is. Context variables that they set do not
    outlive the call.
    """
    return contextvars.copy_context().run(_call, around, ctx, work)


def _call(around: Sequence[AroundFactory], ctx: TaskContext, work: Callable[[], T]) -> T:
    entered: list[_Entered] = []
    try:
        for factory in around:
            manager = _enter(factory, ctx)
            if not isinstance(manager, SetsContext):
                entered.append((factory, manager))
        done = work()
    except BaseException as error:
        _leave_all(entered, error)
        raise
    if entered:
        _leave_all(entered, None)
    return done


def _enter(factory: AroundFactory, ctx: TaskContext) -> Any:
    try:
        with Leash():
            manager: Any = factory(ctx)
            _require_manager(manager, "__enter__")
            manager.__enter__()
        return manager
    except Exception as error:  # noqa: BLE001 - told with the name of whose it is
        _tell(factory, "entered", error)


def _leave_all(entered: list[_Entered], error: BaseException | None) -> None:
    """Leave what was entered, in reverse; raises what came of it, if that is not ``error`` itself."""
    seen = error
    while entered:
        try:
            _leave(*entered.pop(), _how(seen))
        except BaseException as raised:  # noqa: BLE001 - the others are to see it
            seen = raised
    try:
        if seen is not None and seen is not error:
            raise seen
    finally:
        del seen, error  # whose traceback has this frame


def _how(error: BaseException | None) -> _Exit:
    return _CLEAN if error is None else (type(error), error, error.__traceback__)


def _leave(factory: AroundFactory, manager: Any, how: _Exit) -> None:
    try:
        with Leash():
            manager.__exit__(*how)
    except Exception as error:  # noqa: BLE001 - told with the name of whose it is
        if error is not how[1]:
            _tell(factory, "left", error)


async def await_within(around: Sequence[AroundFactory], ctx: TaskContext, work: Callable[[], Awaitable[T]]) -> T:
    """Do what ``call_within`` does, of a coroutine; what can be awaited or not is awaited."""
    if not around:
        return await work()
    factory, inner = around[0], around[1:]
    manager = await _enter_async(factory, ctx)
    try:
        done = await await_within(inner, ctx, work)
    except BaseException as error:
        await _leave_async(factory, manager, (type(error), error, error.__traceback__))
        raise
    await _leave_async(factory, manager, _CLEAN)
    return done


async def _enter_async(factory: AroundFactory, ctx: TaskContext) -> Any:
    try:
        with Leash():
            manager: Any = factory(ctx)
            if not hasattr(manager, "__aenter__"):
                _require_manager(manager, "__enter__")
                manager.__enter__()
                return manager
        await on_leash(_awaited(manager.__aenter__))
        return manager
    except Exception as error:  # noqa: BLE001 - told with the name of whose it is
        _tell(factory, "entered", error)


async def _leave_async(factory: AroundFactory, manager: Any, how: _Exit) -> None:
    if not hasattr(manager, "__aenter__"):
        _leave(factory, manager, how)
        return
    try:
        await on_leash(_awaited(manager.__aexit__, *how))
    except Exception as error:  # noqa: BLE001 - told with the name of whose it is
        if error is not how[1]:
            _tell(factory, "left", error)


async def _awaited(call: Callable[..., Awaitable[Any]], *given: Any) -> None:
    await call(*given)


def _require_manager(manager: Any, method: str) -> None:
    if hasattr(manager, method):
        return
    if hasattr(manager, "__aenter__"):
        raise OptionError("it is an asynchronous context manager, and the handler a function; give __enter__ as well")
    raise OptionError(f"it made {shown(manager)}, which is no context manager; decorate it with contextlib's")


def _tell(factory: AroundFactory, how: str, error: Exception) -> NoReturn:
    """Raise what is told of an error of their own, as if it was raised there; a signal is as good as the handler's."""
    if isinstance(error, HandlerSignal):
        raise error
    told = f"{name_of(factory)} of Outbox(around=...) raised {type(error).__name__} as it was {how}: {error}"
    raise AroundError(told).with_traceback(error.__traceback__) from error
