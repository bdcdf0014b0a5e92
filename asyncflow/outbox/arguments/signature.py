"""A handler's signature: what a task of its type must carry, checked where it is enqueued."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from asyncflow.callables import parameters_of
from asyncflow.errors import InvalidArgumentsError, InvalidResultError, OptionError, nearest
from asyncflow.outbox.arguments.annotations import kinds_of, told
from asyncflow.outbox.arguments.exactness import is_same
from asyncflow.outbox.arguments.kind import Kind
from asyncflow.outbox.payload import encode_argument
from asyncflow.text import a_type_of, shown

CONTEXT, SESSION = "ctx", "session"  # given by the worker, never by the caller
ELSEWHERE = {  # what other libraries call options of a task
    "countdown": "it is the option delay_seconds here",
    "eta": "it is the option run_at here",
    "expires": "no task expires here; let its handler look, and raise CancelTask",
    "task_id": "the id is drawn here; give the option idempotency_key, or unique_key",
}
RESERVED = (
    "priority",
    "delay_seconds",
    "run_at",
    "key",
    "headers",
    "idempotency_key",
    "unique_key",
)  # options of enqueue()
_MOST_FAULTS = 100  # that are told one by one
_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Signature:
    """Hold a handler's parameters by name; made once, when the handler is declared.

    The parameters ``ctx`` and, for a transactional handler, ``session`` are given by the worker; all others are the
    task's arguments. One that ``is_enclosed`` by the application's own transaction needs no ``session``. Raises
    OptionError for a signature that no task could serve.
    """

    def __init__(
        self,
        name: str,
        handler: Callable[..., Any],
        *,
        transactional: bool = False,
        is_enclosed: bool = False,
        keeps_result: bool = False,
    ) -> None:
        self._name = name
        parameters = parameters_of(name, handler)
        for parameter in parameters.values():
            _require_usable(name, parameter)
        self.takes_context = CONTEXT in parameters
        self.takes_session = SESSION in parameters
        if not (transactional and is_enclosed):
            _require_session(name, takes=self.takes_session, transactional=transactional)
        own = {key: one for key, one in parameters.items() if key not in (CONTEXT, SESSION)}
        rest = next((one for one in own.values() if one.kind is one.VAR_KEYWORD), None)
        self._open = rest is not None
        self._names = frozenset(key for key, one in own.items() if one.kind in _KEYWORDS)
        self._required = frozenset(key for key in self._names if own[key].default is inspect.Parameter.empty)
        self._kinds = kinds_of(name, handler, [one for one in own.values() if one.kind in _KEYWORDS])
        more = {} if rest is None else kinds_of(name, handler, [rest])
        self._rest = (
            None if rest is None else more.pop(f"**{rest.name}", None)
        )  # of each argument that has no parameter
        self._kinds |= more
        self._result = _kind_of_result(name, handler) if keeps_result else None
        self._revivers = {key: kind.revive for key, (kind, _) in self._kinds.items() if not kind.is_plain}
        self._plain = tuple((key, kind) for key, (kind, _) in self._kinds.items() if kind.is_plain)
        self._deep = frozenset(key for key, (kind, _) in self._kinds.items() if not kind.is_shallow)

    def check(self, arguments: Mapping[str, Any], given_later: frozenset[str] = frozenset()) -> Mapping[str, Any]:
        """Return the arguments as they are to be written; those that hold others have been written already.

        Those ``given_later`` may be missing.

        Raises InvalidArgumentsError, naming the argument, unless the handler could be called with them and each would
        come back as it is.
        """
        # First, for a name that is mistyped is one that is missing as well.
        if not self._open and not arguments.keys() <= self._names:
            raise self._unknown(sorted(arguments.keys() - self._names)[0])
        if not self._open and not given_later <= self._names:
            raise self._unknown(sorted(given_later - self._names)[0])
        if not (arguments.keys() | given_later) >= self._required:
            names = sorted(self._required - arguments.keys())
            missing = ", ".join(names)
            raise InvalidArgumentsError(f"{self._name}() needs {missing}; give {self._told(missing)}", names[0])
        for key, (kind, annotation) in self._kinds_for(arguments).items():
            if key in arguments and not kind.fits(arguments[key]):
                raise self._unfit(key, arguments[key], annotation)
        deep = self._deep & arguments.keys()
        if self._rest is not None and not self._rest[0].is_shallow:
            deep |= self._unnamed(arguments)
        return {**arguments, **{key: self._written(key, arguments[key]) for key in deep}} if deep else arguments

    def revive(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments as the handler expects them, from those read from JSON.

        Raises InvalidArgumentsError for what cannot be made of them.
        """
        revivers = self._revivers
        if self._rest is not None and not self._rest[0].is_plain:
            revivers = {**revivers, **dict.fromkeys(self._unnamed(values), self._rest[0].revive)}
        for key, revive in revivers.items():
            if key in values:
                try:
                    values[key] = revive(values[key])
                except (ValueError, TypeError, ArithmeticError) as error:
                    annotation = self._kinds_for(values)[key][1]
                    raise self._unfit(key, values[key], annotation, f": {_line(error)}") from error
        return values

    def stored(self, values: Any) -> dict[str, Any]:
        """Return the arguments of a row, as read from JSON, as the handler expects them.

        Raises InvalidArgumentsError unless the handler can be called with them: the version of the application that
        wrote the row may have had another signature.
        """
        if type(values) is not dict:
            raise InvalidArgumentsError(f"the payload is {shown(values)}, and no JSON object of arguments")
        if values.keys() != self._names:
            self._require_callable(values)
        for key, kind in self._plain:
            if key in values and not _is_stored(values[key], kind):
                raise self._unfit(
                    key, values[key], self._kinds[key][1], _while_they_wait("take both in one annotation")
                )
        return self.revive(values) if self._revivers or self._rest is not None else values

    def _require_callable(self, values: Mapping[str, Any]) -> None:
        if more := () if self._open else sorted(values.keys() - self._names):
            remedy = _while_they_wait(f"keep a parameter {more[0]} with a default")
            text = f"the task carries {more[0]}, which {self._name}() does not take{remedy}"
            raise InvalidArgumentsError(text, more[0])
        if missing := sorted(self._required - values.keys()):
            remedy = _while_they_wait(f"give {missing[0]} a default")
            text = f"the task has no {missing[0]}, which {self._name}() needs{remedy}"
            raise InvalidArgumentsError(text, missing[0])

    def own(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the values that the handler takes."""
        return {key: value for key, value in values.items() if self._open or key in self._names}

    def given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the handler from JSON that others wrote; what it does not take is left out.

        Raises InvalidArgumentsError for what is missing or does not fit.
        """
        arguments = self.own(values)
        if missing := sorted(self._required - arguments.keys()):
            text = f"{self._name}() needs {', '.join(missing)}, which the message does not have"
            raise InvalidArgumentsError(text, missing[0])
        revived = self.revive(arguments)
        for key, (kind, annotation) in self._kinds_for(revived).items():
            if key in revived and not kind.fits(revived[key]):
                raise self._unfit(key, revived[key], annotation)
        return revived

    def result(self, value: Any) -> str:
        """Return what the handler returned, as JSON; raises InvalidResultError unless it comes back as it is."""
        try:
            body = encode_argument(value)
            back = self.revived_result(orjson.loads(body))
        except (ValueError, TypeError, ArithmeticError) as error:
            raise InvalidResultError(f"the result of {self._name}() cannot be kept: {_line(error)}") from error
        if not is_same(value, back):
            raise InvalidResultError(
                f"the result of {self._name}() is {shown(value)}, and would come back as {shown(back)}; annotate what "
                f"it returns, or return what JSON keeps"
            )
        return body.decode()

    def revived_result(self, value: Any) -> Any:
        """Return a result as the handler returned it, from that read from JSON; raises ValueError or TypeError."""
        return value if self._result is None or self._result.is_plain else self._result.revive(value)

    def _written(self, key: str, value: Any) -> orjson.Fragment:
        """Return an argument's JSON, from which the same value is made again."""
        kind, annotation = self._kinds_for((key,))[key]
        body = encode_argument(value)
        try:
            back = kind.revive(orjson.loads(body))
        except (ValueError, TypeError, ArithmeticError) as error:
            raise self._unfit(key, value, annotation, f": {_line(error)}") from error
        if not is_same(value, back):
            raise self._unfit(key, value, annotation, f": it would come back as {shown(back)}")
        return orjson.Fragment(body)

    def _kinds_for(self, keys: Iterable[str]) -> Mapping[str, tuple[Kind, Any]]:
        """Return the kinds of the parameters, and of the arguments that only ``**`` takes."""
        if self._rest is None:
            return self._kinds
        return {**dict.fromkeys(self._unnamed(keys), self._rest), **self._kinds}

    def _unnamed(self, keys: Iterable[str]) -> frozenset[str]:
        return frozenset(keys) - self._names - self._kinds.keys()

    def _unfit(self, key: str, value: Any, annotation: Any, why: str = "") -> InvalidArgumentsError:
        return InvalidArgumentsError(
            f"{key} is {shown(value)}, {a_type_of(value)}; {self._name}() takes {told(annotation)}{why}", key
        )

    def _unknown(self, name: str) -> InvalidArgumentsError:
        if name in RESERVED:
            remedy = f"{name} is an option: task.options({name}=...), or an argument of outbox.enqueue() itself"
            return InvalidArgumentsError(f"{self._name}() has no argument {name!r}; {remedy}", name)
        if name in ("max_retries", "then"):
            remedy = f"{name} is an option: task.options({name}=...).enqueue(session, ...)"
            return InvalidArgumentsError(f"{self._name}() has no argument {name!r}; {remedy}", name)
        if name in ELSEWHERE:
            remedy = f"{ELSEWHERE[name]}; it takes {self._all()}"
            return InvalidArgumentsError(f"{self._name}() has no argument {name!r}; {remedy}", name)
        near = nearest(name, [*self._names, *RESERVED])
        return InvalidArgumentsError(f"{self._name}() has no argument {name!r}{near}; it takes {self._all()}", name)

    def _told(self, missing: str) -> str:
        return f"{missing}=…" if "," not in missing else "each by its name"

    def _all(self) -> str:
        return ", ".join(sorted(self._names)) or "none"


def _kind_of_result(name: str, handler: Callable[..., Any]) -> Kind | None:
    """Return the kind of what the handler is annotated to return; None if that is not told."""
    returned = inspect.signature(handler).return_annotation
    if returned is inspect.Signature.empty:
        return None
    parameter = inspect.Parameter("result", inspect.Parameter.KEYWORD_ONLY, annotation=returned)
    found = kinds_of(name, handler, [parameter])
    return found["result"][0] if found else None


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


def _while_they_wait(remedy: str) -> str:
    return f": whoever enqueued it went by another signature; {remedy} as long as such tasks wait"


def _is_stored(value: Any, kind: Kind) -> bool:
    """Tell whether a value read from JSON may be given for a plain annotation; lists and dicts are not gone through."""
    if kind.values is not None:
        return any(type(value) is type(one) and value == one for one in kind.values)
    return type(value) in kind.accepts or kind.fits(value)


def _line(error: Exception) -> str:
    # Pydantic would write a line for each of a million items before we take the first.
    count = getattr(error, "error_count", None)
    if callable(count) and count() > _MOST_FAULTS:
        return f"{count()} faults"
    return " ".join(str(error).split())[:300]
