"""Checks of options, shared by the outbox, the inbox and who connects to brokers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from os import PathLike
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import MetaData

from asyncflow.errors import OptionError, UnknownOptionError
from asyncflow.outbox.clock import MAX_DELAY_SECONDS
from asyncflow.text import a_type_of, shown

_NO_NAME = re.compile(r"[^\w$-]")  # what a table's name would have to be quoted for in a hint or a log

T = TypeVar("T")
NO_OPTION = {"is_option": False}  # metadata of a field that nobody is to give


class OptionKind(NamedTuple):
    """Say of which types a value has to be, and how to tell that."""

    types: tuple[type, ...]
    wanted: str


TEXT = OptionKind((str,), "a text")
FILE = OptionKind((str, PathLike), "the path of a file")
FLAG = OptionKind((bool,), "True or False")


def refuse_unknown(
    where: str, given: Iterable[str], known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> None:
    """Raise UnknownOptionError if ``given`` has others than the ``known`` names.

    It tells of each where it belongs, as ``elsewhere`` has it by its name, or else the nearest of the known ones.
    """
    known = tuple(known)
    if unknown := sorted(set(given).difference(known)):
        raise UnknownOptionError.among(where, unknown, known, elsewhere)


def settings_of(kind: type[T], where: str, options: Mapping[str, Any]) -> T:
    """Make settings, a dataclass, of options by name; raises UnknownOptionError with the nearest names."""
    refuse_unknown(where, options, field_names(kind))
    return kind(**options)


def field_names(kind: Any, *, but: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names of a dataclass's options, in order, ``but`` for those that are given otherwise."""
    return tuple(
        field.name for field in fields(kind) if field.metadata.get("is_option", True) and field.name not in but
    )


def refuse_keywords(where: str, unknown: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Raise UnknownOptionError if anything is ``unknown`` of what a function was given by keyword."""
    if unknown:
        parameters = inspect.signature(function).parameters.values()
        known = [one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]
        raise UnknownOptionError.among(where, unknown, known)


def require_whole(name: str, value: Any, least: int, most: int) -> None:
    """Raise OptionError unless ``value`` is a whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise OptionError(f"{name} is {shown(value)}; give a whole number from {least} to {most}")


def require_flag(name: str, value: Any) -> None:
    """Raise OptionError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise OptionError(f"{name} is {shown(value)}; give True or False")


def require_number(name: str, value: Any, least: float, most: float) -> None:
    """Raise OptionError unless ``value`` is a number from ``least`` to ``most``."""
    if not is_number(value) or not least <= value <= most:
        raise OptionError(f"{name} is {shown(value)}; give a number from {_plain(least)} to {_plain(most)}")


def require_seconds(name: str, value: Any, least: float, most: float = MAX_DELAY_SECONDS) -> None:
    """Raise OptionError unless ``value`` is a number of seconds from ``least`` to ``most``."""
    if not is_number(value) or not least <= value <= most:
        raise OptionError(f"{name} is {shown(value)}; give seconds from {_plain(least)} to {_plain(most)}")


def is_number(value: Any) -> bool:
    """Tell whether it is one, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(bound: float) -> str:
    return f"{bound:.15g}"  # no exponent, which people would have to work out


def require_place(metadata: Any, prefix: Any, schema: Any) -> None:
    """Raise OptionError unless tables can be added there under these names."""
    if not isinstance(metadata, MetaData):
        raise OptionError(f"metadata is {shown(metadata)}; give a MetaData, such as Base.metadata")
    if not isinstance(prefix, str):
        raise OptionError(f"prefix is {shown(prefix)}; give text, such as 'asyncflow_'")
    if fault := _NO_NAME.search(prefix):
        raise OptionError(
            f"prefix is {shown(prefix)}, which holds {shown(fault[0])}; give letters, digits, '_', '-' and '$', "
            f"such as 'asyncflow_'"
        )
    if isinstance(schema, str) and (fault := _NO_NAME.search(schema)):
        raise OptionError(
            f"schema is {shown(schema)}, which holds {shown(fault[0])}; give letters, digits, '_', '-' and '$', or None"
        )
    if schema is not None and not (isinstance(schema, str) and schema):
        raise OptionError(f"schema is {shown(schema)}; give a schema's name, or None")


def settings_given(given: Any, kind: type[T]) -> T:
    """Return settings, those by default for None; raises OptionError for whatever else is none, an empty dict too."""
    if given is None:
        return kind()
    if not isinstance(given, kind):  # told without its value, which may hold a password
        raise OptionError(f"settings is {a_type_of(given)}; give {kind.__name__}(...), or leave it out")
    return given


def options_given(given: Any) -> dict[str, Any]:
    """Return a client's options, none for None; raises OptionError unless they are a mapping of names."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise OptionError(f"client_options is {a_type_of(given)}; give a mapping of names to values, or leave it out")
    return dict(given)


def require_kinds(options: Mapping[str, Any], kinds: Mapping[str, OptionKind]) -> None:
    """Raise OptionError, which shows no value, for a client's option that is empty or of another kind than wanted.

    A client takes such a one for one that was not given, and goes without log-in or without encryption.
    """
    for name in options.keys() & kinds.keys():
        value, kind = options[name], kinds[name]
        is_of_kind = isinstance(value, kind.types)
        if not is_of_kind or (not value and not isinstance(value, bool)):
            told = "None" if value is None else "empty" if is_of_kind else a_type_of(value)
            raise OptionError(f"client option {name} is {told}; give {kind.wanted}, or leave it out")
