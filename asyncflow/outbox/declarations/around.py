"""What stands around each attempt of a handler: context managers that the application gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import Context
from functools import partial
from typing import Any, Protocol

from asyncflow.errors import OptionError
from asyncflow.text import shown

# Called with the attempt's TaskContext.
AroundFactory = Callable[[Any], "AbstractContextManager[Any] | AbstractAsyncContextManager[Any]"]


class SetsContext:
    """Be a context manager of our own that does nothing but set context variables, and set them back.

    Where these do not outlive what it stands around, it need not be left.
    """

    __slots__ = ()


class StandsBriefly:
    """Be a hook of our own around attempts that sets but context variables around most of them."""

    def begin_attempt(self) -> AroundFactory | None:
        """Set them, in a copy of the context that is the attempt's own, and return None; nothing is to be left then.

        Where it is to stand around the attempt after all, return what makes the context manager. Raises nothing.
        """
        raise NotImplementedError

    def in_turn(self) -> StandsInTurn | None:
        """Return what stands so around attempts that the calling thread makes one after the other; None: ask at each.

        Nobody changes the thread's own context meanwhile. Raises nothing.
        """
        return None


class StandsInTurn:
    """Stand around the attempts of one thread, for most of them in a context that is made once; made by ``hook``."""

    hook: StandsBriefly

    def begin(self) -> Context | None:
        """Return the context in which the next attempt works, a copy that is its own.

        None where ``around_kept`` is to stand around it after all. Raises nothing.
        """
        raise NotImplementedError

    def around_kept(self, ctx: Any, /) -> AbstractContextManager[Any]:
        """Stand around the attempt for which ``begin`` has returned None."""
        raise NotImplementedError


class Handles(Protocol):
    """Be a declared type, as far as what stands around it must know."""

    name: str
    handler: Callable[..., Any] | None
    is_coroutine: bool


class Around(list[AroundFactory]):
    """Hold what stands around each attempt, the outermost first; one for all types of an outbox.

    Changed as declarations are, before threads of work read it.
    Raises OptionError for what makes no context manager.
    """

    def __init__(
        self, factories: Iterable[AroundFactory] = (), declared: Callable[[], Iterable[Handles]] = tuple
    ) -> None:
        super().__init__()
        self._declared = declared
        self.brief: StandsBriefly | None = None  # what stands around attempts, where it alone does, and most briefly
        if callable(factories) or not isinstance(factories, Iterable):
            raise OptionError(f"around is {shown(factories)}; give a list of functions (ctx) -> context manager")
        for factory in factories:
            self.add(factory)

    def add(self, factory: AroundFactory) -> None:
        """Let one more stand around each attempt, inside the others."""
        bare = _bare(factory)
        if not callable(factory) or isinstance(factory, (AbstractContextManager, AbstractAsyncContextManager)):
            raise OptionError(
                f"around holds {shown(factory)}; give a function (ctx) that makes a context manager for each attempt"
            )
        if inspect.isgeneratorfunction(factory) or inspect.isasyncgenfunction(factory):
            raise OptionError(
                f"around holds {name_of(factory)}, which is no context manager yet; decorate it with "
                f"contextlib.contextmanager or asynccontextmanager"
            )
        if inspect.iscoroutinefunction(bare):
            raise OptionError(
                f"around holds {name_of(factory)}, a coroutine; make it an async generator with one yield, and "
                f"decorate it with contextlib.asynccontextmanager"
            )
        for kind in self._declared():
            if kind.handler is not None:
                _require_fit(factory, kind.name, is_coroutine=kind.is_coroutine)
        self.append(factory)
        self._look_for_brief()

    def take_out(self, factory: AroundFactory) -> None:
        """Let what was added stand around nothing more; an unknown one is ignored."""
        if factory in self:
            self.remove(factory)
            self._look_for_brief()

    def in_turn(self) -> StandsInTurn | None:
        """Return what stands around the attempts that the calling thread is about to make; None: asked at each."""
        return None if self.brief is None else self.brief.in_turn()

    def _look_for_brief(self) -> None:
        hook = getattr(self[0], "__self__", None) if len(self) == 1 else None
        self.brief = hook if isinstance(hook, StandsBriefly) else None

    def require_fit(self, name: str, *, is_coroutine: bool) -> None:
        """Raise OptionError if any can only be awaited, and the handler of the type ``name`` is a function."""
        for factory in self:
            _require_fit(factory, name, is_coroutine=is_coroutine)


def _require_fit(factory: AroundFactory, name: str, *, is_coroutine: bool) -> None:
    if not is_coroutine and is_only_async(factory):
        its = name_of(factory)
        raise OptionError(
            f"the handler of {name!r} is a function, and {its} in Outbox(around=...) is an asynchronous context "
            f"manager, which a function cannot await; make the handler a coroutine, or {its} a class with __enter__ "
            f"and __exit__ as well"
        )


def is_only_async(factory: AroundFactory) -> bool:
    """Tell whether what the factory makes is known to have to be awaited."""
    bare = _bare(factory)
    if isinstance(bare, type):
        return hasattr(bare, "__aenter__") and not hasattr(bare, "__enter__")
    return inspect.isasyncgenfunction(bare)


def name_of(factory: Any) -> str:
    """Return how the application calls it."""
    bare = _bare(factory)
    return getattr(bare, "__qualname__", None) or type(bare).__qualname__


def _bare(factory: Any) -> Any:
    """Return the function or class behind partials, decorators and callable objects."""
    while isinstance(factory, partial):
        factory = factory.func
    bare = inspect.unwrap(factory)
    if isinstance(bare, type) or inspect.isroutine(bare) or not callable(bare):
        return bare
    return inspect.unwrap(type(bare).__call__)
