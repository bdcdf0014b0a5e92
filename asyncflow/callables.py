"""Callables: what the application gives to be called, and whether its work is done when it has returned."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.text import a_type_of, shown

_NOT_BEGUN = (CoroutineType, GeneratorType, AsyncGeneratorType)


def is_coroutine(given: Any) -> bool:
    """Tell whether a call has to be awaited: of a function, a partial of one, or an object with such a ``__call__``.

    What only wraps a coroutine is none: it may await that by itself.
    """
    called = _called(given)
    return inspect.iscoroutinefunction(called) or inspect.iscoroutinefunction(type(called).__call__)


def parameters_of(name: str, function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the function called ``name``; raises OptionError for one that tells none."""
    try:
        return inspect.signature(function).parameters
    except ValueError as error:  # of some that are written in C
        raise OptionError(
            f"{name}() does not tell its parameters; give a function of your own that calls it"
        ) from error


def is_generator(given: Any) -> bool:
    """Tell whether a call does nothing yet, but makes a generator, asynchronous or not."""
    called = _called(given)
    return any(
        inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in (called, type(called).__call__)
    )


def require_function(what: str, given: Any) -> None:
    """Raise OptionError for a coroutine or a generator where calls are neither awaited nor gone through."""
    if is_coroutine(given) or is_generator(given):
        kind = "coroutine" if is_coroutine(given) else "generator"
        raise OptionError(f"{what} is {shown(given)}, a {kind}, whose body nobody would run; give a function")


def require_done(what: str, returned: Any) -> None:
    """Raise OptionError for what was returned in place of work that is done: what a decorator hid until the call."""
    if returned is None or not isinstance(returned, _NOT_BEGUN):
        return
    if isinstance(returned, CoroutineType):
        returned.close()
    raise OptionError(
        f"{what} returned {a_type_of(returned)}, whose body nobody runs: nothing was done; a coroutine must be one to "
        f"inspect.iscoroutinefunction, so let what decorates it be a coroutine, too, and go through generators inside"
    )


def _called(given: Any) -> Any:
    while isinstance(given, partial):
        given = given.func
    return given
