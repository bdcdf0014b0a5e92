"""Classes of the application as arguments: dataclasses, NamedTuples and TypedDicts, by their fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from asyncflow.errors import OptionError
from asyncflow.outbox.arguments.json_forms import row
from asyncflow.outbox.arguments.kind import ARRAY, DICT, OBJECT, Kind, deep, revived

KindOf = Callable[[Any], "Kind | None"]


def is_typed_dict(kind: Any) -> bool:
    """Tell whether it is a TypedDict, that of typing_extensions included, which typing knows nothing of."""
    return isinstance(kind, type) and issubclass(kind, dict) and hasattr(kind, "__required_keys__")


def fields_of(kind: Any, kind_of: KindOf) -> Kind:
    """Return the kind of a dataclass, NamedTuple or TypedDict, by the annotations of its fields."""
    try:
        hints = get_type_hints(kind)
    except Exception as error:
        raise OptionError(
            f"the annotations of {kind.__qualname__} cannot be read: {error}; import their names outside TYPE_CHECKING"
        ) from error
    if is_typed_dict(kind):
        return _typed_dict(kind, {name: kind_of(hint) for name, hint in hints.items()})
    if hasattr(kind, "_fields"):
        return _as_given(kind, row([kind_of(hints.get(name, Any)) for name in kind._fields], kind._make))
    return _dataclass(kind, {one.name: kind_of(hints.get(one.name, Any)) for one in fields(kind) if one.init})


def _dataclass(kind: Any, kinds: Mapping[str, Kind | None]) -> Kind:
    hidden = next((name for name in kinds if name.startswith("_")), None)
    if hidden is not None:
        raise OptionError(f"the field {hidden!r} of {kind.__qualname__} is not written to JSON; name it without the _")
    computed = {one.name for one in fields(kind) if not one.init}

    def revive(value: Any) -> Any:
        given = {key: one for key, one in DICT(value).items() if key not in computed}
        _refuse_unknown(kind, given, kinds)
        return kind(**{key: revived(kinds[key], one) for key, one in given.items()})

    return deep(kind, revive, OBJECT)


def _typed_dict(kind: Any, kinds: Mapping[str, Kind | None]) -> Kind:
    def revive(value: Any) -> Any:
        _refuse_unknown(kind, DICT(value), kinds)
        missing = sorted(kind.__required_keys__ - value.keys())
        if missing:
            raise ValueError(f"{missing[0]!r} is missing for {kind.__qualname__}")
        return {key: revived(kinds[key], one) for key, one in value.items()}

    return deep(dict, revive, OBJECT, is_plain=all(one is None or one.is_plain for one in kinds.values()))


def _refuse_unknown(kind: Any, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    unknown = next((key for key in given if key not in known), None)
    if unknown is not None:
        raise ValueError(f"{kind.__qualname__} has no field {unknown!r}")


def later(kind: Any, made: list[Kind | None]) -> Kind:
    """Return the kind of a class within itself, when its own is being made; ``made`` will hold that."""
    return deep(kind, lambda value: revived(made[0], value), OBJECT)


def _as_given(make: Any, kind: Kind) -> Kind:
    return deep(make, kind.revive, ARRAY)
