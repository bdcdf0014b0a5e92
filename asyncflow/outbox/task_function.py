"""A handler as the application's code has it: called as before, and enqueued with arguments that type checkers know."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload
from uuid import UUID

from asyncflow.errors import InvalidArgumentsError
from asyncflow.outbox.arguments.signature import CONTEXT, ELSEWHERE, SESSION
from asyncflow.outbox.declarations.handler_type import StandsForHandler
from asyncflow.outbox.declarations.option_types import EnqueueOptions
from asyncflow.outbox.dedupe import Enqueued
from asyncflow.outbox.message import Call, FollowUp
from asyncflow.outbox.options import field_names, refuse_unknown

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
    from sqlalchemy.orm import Session
    from typing_extensions import Unpack

    from asyncflow.outbox.transaction.target import Target

    AsyncTarget = AsyncSession | async_scoped_session[Any]

P = ParamSpec("P")  # the arguments of a task
FullP = ParamSpec("FullP")  # those, and what the worker gives
R = TypeVar("R")


class HandlerContext(Protocol):
    """Be a handler's first parameter, as far as it tells that the worker gives it: TaskContext does."""

    @property
    def attempt(self) -> int:
        """Return the number of this attempt, 1 for the first."""
        ...

    def checkpoint(self, *, stage: str, context: Any = None) -> None:
        """Commit how far the work has come."""
        ...


ContextT = TypeVar("ContextT", bound=HandlerContext)
SessionT = TypeVar("SessionT", bound="Session | AsyncSession")


class Enqueues(Protocol):
    """Be the outbox, as far as a task function uses it."""

    def enqueue_once(self, target: Any, task: Any, call: Call) -> Enqueued:
        """Add a call to the caller's transaction."""
        ...

    async def enqueue_once_async(self, session: Any, task: Any, call: Call) -> Enqueued:
        """Do so in an AsyncSession, awaited."""
        ...


class Declare(Protocol):
    """Be what makes a handler of a function or coroutine; ``ctx`` and ``session`` are told by their annotations."""

    @overload
    def __call__(
        self, handler: Callable[Concatenate[ContextT, SessionT, P], R], /
    ) -> TaskFunction[Concatenate[ContextT, SessionT, P], P, R]: ...

    @overload
    def __call__(
        self, handler: Callable[Concatenate[SessionT, ContextT, P], R], /
    ) -> TaskFunction[Concatenate[SessionT, ContextT, P], P, R]: ...

    @overload
    def __call__(
        self, handler: Callable[Concatenate[ContextT, P], R], /
    ) -> TaskFunction[Concatenate[ContextT, P], P, R]: ...

    @overload
    def __call__(
        self, handler: Callable[Concatenate[SessionT, P], R], /
    ) -> TaskFunction[Concatenate[SessionT, P], P, R]: ...

    @overload
    def __call__(self, handler: Callable[P, R], /) -> TaskFunction[P, P, R]: ...


class Prepared(Generic[P]):
    """Hold a task with options, to be enqueued any number of times; immutable, any thread may use it."""

    def __init__(self, function: TaskFunction[..., P, Any], options: EnqueueOptions) -> None:
        refuse_unknown("options()", options, _OPTIONS, ELSEWHERE)
        self._function = function
        self._options = options

    def options(self, **options: Unpack[EnqueueOptions]) -> Prepared[P]:
        """Return the task with these options as well, which go before those it has."""
        return Prepared(self._function, {**self._options, **options})

    def enqueue(self, session: Target, /, *args: P.args, **kwargs: P.kwargs) -> UUID:
        """Add the task to the caller's transaction, as ``Outbox.enqueue`` does; return its id."""
        return self.enqueue_once(session, *args, **kwargs).id

    def enqueue_once(self, session: Target, /, *args: P.args, **kwargs: P.kwargs) -> Enqueued:
        """Do so; tell whether the task is new or was found by its key."""
        call = self._function.call_of(args, kwargs, self._options)
        return self._function.outbox.enqueue_once(session, self._function.task_type, call)

    def later(self, *args: P.args, **kwargs: P.kwargs) -> FollowUp:
        """Return the task as another one's ``then=``; an argument may be RESULT, what the other one returns."""
        function = self._function
        return FollowUp(function.outbox, function.task_type, function.call_of(args, kwargs, self._options))

    async def enqueue_async(self, session: AsyncTarget, /, *args: P.args, **kwargs: P.kwargs) -> UUID:
        """Add the task to the transaction of an AsyncSession, where a key that is looked up needs to be awaited."""
        return (await self.enqueue_once_async(session, *args, **kwargs)).id

    async def enqueue_once_async(self, session: AsyncTarget, /, *args: P.args, **kwargs: P.kwargs) -> Enqueued:
        """Do so; tell whether the task is new or was found by its key."""
        call = self._function.call_of(args, kwargs, self._options)
        return await self._function.outbox.enqueue_once_async(session, self._function.task_type, call)


class TaskFunction(StandsForHandler, Generic[FullP, P, R]):
    """Stand for a handler: called, it is the handler; ``enqueue`` lets it be called after the caller's commit.

    Made by ``@outbox.task()``. ``task_type`` is the name of its type, ``handler`` the function itself.
    """

    __name__: str  # the handler's, as all that functools.update_wrapper copies
    __qualname__: str

    def __init__(self, task_type: str, handler: Callable[..., R], outbox: Enqueues) -> None:
        functools.update_wrapper(self, handler)
        self.task_type = task_type
        self.handler = handler
        self.outbox = outbox
        self._own = [name for name in inspect.signature(handler).parameters if name not in (CONTEXT, SESSION)]

    def __repr__(self) -> str:
        return f"<task {self.task_type!r}: {self.handler!r}>"

    def __reduce__(self) -> str:
        """Be pickled by name, as functions are: for a pool of processes, and for copies."""
        return self.__qualname__

    if not TYPE_CHECKING:  # where everything would be an attribute

        def __getattr__(self, name: str) -> Any:
            """Tell whoever comes from another library by which verb tasks are written here."""
            told = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name in _WORDS_ELSEWHERE:
                told += f"; {_WORDS_ELSEWHERE[name]}"
            raise AttributeError(told, name=name, obj=self)

    @overload
    def __call__(self, *args: FullP.args, **kwargs: FullP.kwargs) -> R: ...

    # By name, the parameters that come first are known to the function alone.
    @overload
    def __call__(self, *args: Any, ctx: HandlerContext, **kwargs: Any) -> R: ...

    @overload
    def __call__(self, *args: Any, session: Session | AsyncSession, **kwargs: Any) -> R: ...

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        """Call the handler, here and now."""
        done: R = self.handler(*args, **kwargs)
        return done

    def options(self, **options: Unpack[EnqueueOptions]) -> Prepared[P]:
        """Return the task with options of ``enqueue``: ``options(delay_seconds=3).enqueue(session, ...)``.

        Raises UnknownOptionError.
        """
        return Prepared(self, options)

    def enqueue(self, session: Target, /, *args: P.args, **kwargs: P.kwargs) -> UUID:
        """Add a call of the handler to the caller's transaction; return the task's id.

        Raises what ``Outbox.enqueue`` raises.
        """
        return Prepared(self, {}).enqueue(session, *args, **kwargs)

    def later(self, *args: P.args, **kwargs: P.kwargs) -> FollowUp:
        """Return a call of the handler as another task's ``then=``, as ``options().later(...)`` does."""
        return Prepared(self, {}).later(*args, **kwargs)

    async def enqueue_async(self, session: AsyncTarget, /, *args: P.args, **kwargs: P.kwargs) -> UUID:
        """Do so in an AsyncSession; awaited, also where nothing needs to be."""
        return await Prepared(self, {}).enqueue_async(session, *args, **kwargs)

    def call_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: EnqueueOptions) -> Call:
        """Return the call with its arguments by name; raises InvalidArgumentsError."""
        if len(args) > len(self._own):
            raise InvalidArgumentsError(
                f"{self.task_type}() takes {len(self._own)} arguments, and {len(args)} were given without a name"
            )
        named = dict(zip(self._own, args, strict=False))
        for name in named.keys() & kwargs.keys():
            raise InvalidArgumentsError(f"{name} of {self.task_type}() is given twice; give it once", name)
        return Call({**named, **kwargs}, **options)


_OPTIONS = field_names(Call, but=("arguments",))
_VERBS_ELSEWHERE = (
    *("delay", "delay_on_commit", "apply_async", "apply_async_on_commit", "send", "send_with_options"),
    *("defer", "defer_async", "kiq", "schedule"),
)
_FLOWS_ELSEWHERE = (
    *("s", "si", "signature", "subtask", "chain", "link", "link_error"),
    *("chord", "group", "map", "starmap", "chunks", "pipe"),
)
_WORDS_ELSEWHERE = {
    **dict.fromkeys(_VERBS_ELSEWHERE, "use enqueue(session, ...), in the transaction of the business rows"),
    **dict.fromkeys(
        _FLOWS_ELSEWHERE,
        "a task that follows is options(then=other.later(...)).enqueue(session, ...); what waits for several enqueues "
        "each and counts them in a row",
    ),
    "apply": "call it as the function that it is",
    "retry": "raise RetryTask(delay_seconds=...) in the handler",
}
