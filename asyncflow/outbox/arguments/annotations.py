"""A handler's annotations: read where it is declared, and refused there if they cannot be kept."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from typing import Any, get_args, get_origin, get_type_hints

from asyncflow.errors import OptionError
from asyncflow.outbox.arguments.kind import Kind
from asyncflow.outbox.arguments.kinds import kind_of


def kinds_of(name: str, handler: Any, parameters: Iterable[inspect.Parameter]) -> dict[str, tuple[Kind, Any]]:
    """Return the kind and the annotation of each parameter that is checked.

    Raises OptionError, naming the parameter, for an annotation that cannot be read, or whose values could not come
    back from JSON as they were.
    """
    kinds: dict[str, tuple[Kind, Any]] = {}
    for parameter in parameters:
        for its_name, annotation in _annotations(name, handler, parameter).items():
            try:
                kind = kind_of(annotation)
            except OptionError as error:
                raise OptionError(f"the parameter {its_name!r} of {name}(): {error}") from error
            if kind is not None:
                kinds[its_name] = (kind, annotation)
    return kinds


def _annotations(name: str, handler: Any, parameter: inspect.Parameter) -> dict[str, Any]:
    """Return the parameter's annotation by its name; of ``**more: Unpack[Fields]`` those of the fields by theirs."""
    if parameter.annotation is parameter.empty:
        return {}
    annotation = _resolved(name, handler, parameter)
    if getattr(get_origin(annotation), "_name", None) == "Unpack":
        return get_type_hints(get_args(annotation)[0])
    return {f"**{parameter.name}" if parameter.kind is parameter.VAR_KEYWORD else parameter.name: annotation}


def told(annotation: Any) -> str:
    """Return an annotation as text for an error."""
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)


def _resolved(name: str, handler: Any, parameter: inspect.Parameter) -> Any:
    """Return the parameter's annotation, read if it is text; another one that cannot be read does not matter."""
    holder = _Holder({parameter.name: parameter.annotation})
    function = inspect.unwrap(handler.func if isinstance(handler, functools.partial) else handler)
    names = getattr(function, "__globals__", None) or vars(sys.modules.get(getattr(function, "__module__", ""), sys))
    try:
        return get_type_hints(holder, names, _local_names())[parameter.name]
    except Exception as error:
        raise OptionError(
            f"the annotation {parameter.annotation!r} of {parameter.name!r} of {name}() cannot be read: {error}; "
            f"import what it names outside TYPE_CHECKING, or annotate it as Any for plain JSON"
        ) from error


class _Holder:
    """Stand for an object with one annotation, for ``get_type_hints``."""

    def __init__(self, annotations: dict[str, Any]) -> None:
        self.__annotations__ = annotations
        self.__wrapped__: Callable[..., Any] | None = None


def _local_names() -> dict[str, Any]:
    """Return the local names of the function in which the handler is declared, nearest first: none at module level."""
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("asyncflow."):
        frame = frame.f_back
    names: dict[str, Any] = {}
    while frame is not None and frame.f_code.co_name != "<module>" and len(names) < 10_000:
        names = {**frame.f_locals, **names}
        frame = frame.f_back
    return names
