"""Kinds of arguments: what an annotation accepts in the caller, and how its JSON becomes the same value again.

A kind that is made is exact: what ``revive`` returns for a value's JSON has the value's types, or it raises. An
annotation for which that cannot be done is refused with OptionError.
"""

from __future__ import annotations

import collections.abc
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NewType, TypeVar, Union, get_args, get_origin
from uuid import UUID

from asyncflow.errors import OptionError
from asyncflow.outbox.arguments import class_forms, text_forms
from asyncflow.outbox.arguments import json_forms as forms
from asyncflow.outbox.arguments.kind import ARRAY, OBJECT, Kind, same
from asyncflow.outbox.arguments.models import model_kind
from asyncflow.outbox.arguments.unions import union_kind

_PLAIN: dict[Any, Kind] = {
    str: forms.STR,
    bool: forms.BOOL,
    int: forms.INT,
    float: forms.FLOAT,
    None: forms.NONE,
    type(None): forms.NONE,
    list: Kind(accepts=(list, tuple), revive=same(list), forms=frozenset({ARRAY})),
    dict: Kind(accepts=(Mapping,), revive=same(dict), forms=frozenset({OBJECT})),
    UUID: text_forms.text(UUID, text_forms.uuid_of_text),
    Decimal: text_forms.text(Decimal, text_forms.decimal_of),
    datetime: text_forms.text(datetime, text_forms.datetime_of),
    date: text_forms.text(date, text_forms.date_of),
    time: text_forms.text(time, text_forms.time_of),
    timedelta: text_forms.text(timedelta, text_forms.timedelta_of),
}
_LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Collection,
    collections.abc.Iterable,
)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def kind_of(annotation: Any) -> Kind | None:
    """Return the kind of an annotation; None for one that is not checked: ``Any``, ``object`` or none.

    Raises OptionError for one whose values could not come back as they were.
    """
    return _Maker().kind_of(annotation)


class _Maker:
    """Make one kind and those within it; a class may hold itself."""

    def __init__(self) -> None:
        self._open: dict[Any, list[Kind | None]] = {}

    def kind_of(self, annotation: Any) -> Kind | None:
        if annotation in (Any, object):
            return None
        if isinstance(annotation, collections.abc.Hashable) and annotation in _PLAIN:
            return _PLAIN[annotation]
        if isinstance(annotation, NewType):
            return self.kind_of(annotation.__supertype__)
        if isinstance(annotation, TypeVar):
            if annotation.__constraints__:
                return union_kind([self.kind_of(part) for part in annotation.__constraints__], annotation)
            return self.kind_of(annotation.__bound__ or Any)
        if hasattr(annotation, "__value__") and not isinstance(annotation, type):  # type X = ...
            return self.kind_of(annotation.__value__)
        return self._class(annotation) if get_origin(annotation) is None else self._generic(annotation)

    def _generic(self, annotation: Any) -> Kind | None:
        origin, parts = get_origin(annotation), get_args(annotation)
        if origin in (Union, types.UnionType):
            return union_kind([self.kind_of(part) for part in parts], annotation)
        if origin is Literal:
            return forms.choice(parts)
        if hasattr(annotation, "__metadata__"):
            return self.kind_of(annotation.__origin__)
        if forms.is_wrapper(origin):
            return self.kind_of(parts[0])
        if origin in _LISTS:
            return forms.array(list, self.kind_of(parts[0]))
        if origin in (set, frozenset):
            return forms.array(origin, self.kind_of(parts[0]))
        if origin is tuple:
            return self._tuple(parts)
        if origin in _DICTS:
            return self._dict(annotation, *parts)
        return model_kind(annotation)

    def _tuple(self, parts: tuple[Any, ...]) -> Kind:
        if len(parts) == 2 and parts[1] is ...:
            return forms.array(tuple, self.kind_of(parts[0]))
        return forms.row([self.kind_of(part) for part in parts], tuple)

    def _dict(self, annotation: Any, key: Any, item: Any) -> Kind:
        if key not in (str, Any):
            raise OptionError(f"{annotation} has keys that are no str, and JSON has no others; take a list of pairs")
        return forms.mapping(self.kind_of(item))

    def _class(self, kind: Any) -> Kind | None:
        if kind in _LISTS or kind in _DICTS:
            return _PLAIN[list if kind in _LISTS else dict]
        if kind in (set, frozenset, tuple):
            return forms.array(kind, None)
        if not isinstance(kind, type):
            return model_kind(kind)
        if hasattr(kind, "__pydantic_validator__"):
            return model_kind(kind)
        if issubclass(kind, Enum):
            return forms.enumeration(kind)
        if (
            is_dataclass(kind)
            or class_forms.is_typed_dict(kind)
            or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
        ):
            return self._fields_of(kind)
        return model_kind(kind)

    def _fields_of(self, kind: Any) -> Kind:
        if kind in self._open:
            return class_forms.later(kind, self._open[kind])
        self._open[kind] = made = []
        made.append(class_forms.fields_of(kind, self.kind_of))
        del self._open[kind]
        return made[0]
