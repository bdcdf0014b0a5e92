"""A handler's signature: what a task of its type must carry, checked where it is enqueued."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from asyncflow.errors import InvalidArgumentsError, OptionError
from asyncflow.outbox.kinds import Kind, kind_of
from asyncflow.outbox.text import nearest, shown

CONTEXT, SESSION = "ctx", "session"  # given by the worker, never by the caller
RESERVED = ("priority", "delay_seconds", "run_at", "key", "headers", "idempotency_key")  # options of enqueue()
_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Signature:
    """Hold a handler's parameters by name; made once, when the handler is declared.

    The parameters ``ctx`` and, for a transactional handler, ``session`` are given by the worker; all others are the
    task's arguments. Raises OptionError for a signature that no task could serve.
    """

    def __init__(self, name: str, handler: Callable[..., Any], *, transactional: bool = False) -> None:
        self._name = name
        parameters = inspect.signature(handler).parameters
        for parameter in parameters.values():
            _require_usable(name, parameter)
        self.takes_context = CONTEXT in parameters
        self.takes_session = SESSION in parameters
        _require_session(name, takes=self.takes_session, transactional=transactional)
        own = {key: one for key, one in parameters.items() if key not in (CONTEXT, SESSION)}
        self._open = any(one.kind is one.VAR_KEYWORD for one in own.values())
        self._names = frozenset(key for key, one in own.items() if one.kind in _KEYWORDS)
        self._required = frozenset(key for key in self._names if own[key].default is inspect.Parameter.empty)
        self._kinds = _kinds(handler, self._names)
        self._revivers = {key: kind.revive for key, (kind, _) in self._kinds.items() if kind.revive is not None}

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise InvalidArgumentsError, naming the argument, unless the handler could be called with them."""
        if not arguments.keys() >= self._required:
            missing = ", ".join(sorted(self._required - arguments.keys()))
            raise InvalidArgumentsError(f"{self._name}() needs {missing}; give {self._told(missing)}")
        if not self._open and not arguments.keys() <= self._names:
            unknown = sorted(arguments.keys() - self._names)[0]
            raise InvalidArgumentsError(
                f"{self._name}() has no argument {unknown!r}{nearest(unknown, self._names)}; it takes {self._all()}"
            )
        for key, (kind, annotation) in self._kinds.items():
            if key in arguments and not kind.fits(arguments[key]):
                raise InvalidArgumentsError(
                    f"{key} is {shown(arguments[key])}, a {type(arguments[key]).__qualname__}; "
                    f"{self._name}() takes {_text(annotation)}"
                )

    def revive(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments as the handler expects them, from those read from JSON."""
        for key, revive in self._revivers.items():
            if key in values:
                values[key] = revive(values[key])
        return values

    def _told(self, missing: str) -> str:
        return f"{missing}=…" if "," not in missing else "each by its name"

    def _all(self) -> str:
        return ", ".join(sorted(self._names)) or "none"


def _require_usable(name: str, parameter: inspect.Parameter) -> None:
    if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
        raise OptionError(f"the parameter {parameter} of {name}() has no name for a task; make it a keyword parameter")
    if parameter.name in RESERVED:
        raise OptionError(
            f"the parameter {parameter.name!r} of {name}() is called as an option of enqueue(); rename the parameter "
            f"(reserved: {', '.join(RESERVED)})"
        )


def _require_session(name: str, *, takes: bool, transactional: bool) -> None:
    if takes and not transactional:
        raise OptionError(
            f"the parameter 'session' of {name}() is given to transactional handlers; "
            f"declare it with transactional=True, or rename the parameter"
        )
    if transactional and not takes:
        raise OptionError(f"{name}() is transactional, but has no parameter 'session' to work in; add one")


def _kinds(handler: Any, names: frozenset[str]) -> dict[str, tuple[Kind, Any]]:
    try:
        hints = get_type_hints(handler)
    except Exception:  # noqa: BLE001 - annotations imported for the type checker alone are no reason to refuse
        return {}
    found = {key: (kind_of(hint), hint) for key, hint in hints.items() if key in names}
    return {key: (kind, hint) for key, (kind, hint) in found.items() if kind is not None}


def _text(annotation: Any) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
