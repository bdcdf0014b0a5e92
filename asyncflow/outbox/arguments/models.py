"""Kinds of pydantic's models and dataclasses, which read themselves from JSON."""

from __future__ import annotations

from typing import Any, get_origin

import orjson

from asyncflow.errors import OptionError
from asyncflow.outbox.arguments.kind import ARRAY, BOOLEAN, NULL, NUMBER, OBJECT, TEXT, Kind

_KNOWN = (
    "JSON's types, UUID, datetime, date, time, timedelta, Decimal, an Enum, a dataclass, NamedTuple or TypedDict, "
    "a pydantic model, lists, tuples, sets, dicts and unions of these, or Any for plain JSON"
)


def model_kind(annotation: Any) -> Kind:
    """Return the kind of a pydantic model or dataclass; raises OptionError for all else, naming the annotation."""
    model = get_origin(annotation) or annotation
    if not hasattr(model, "__pydantic_validator__"):
        raise _refused(annotation)
    is_root = getattr(model, "__pydantic_root_model__", False)

    def revive(value: Any) -> Any:
        # Not strict: a model tells itself how strict it is. Pydantic need not be imported for it.
        return model.__pydantic_validator__.validate_json(orjson.dumps(value))

    forms = frozenset({NULL, TEXT, NUMBER, BOOLEAN, ARRAY, OBJECT} if is_root else {OBJECT})
    return Kind(accepts=(model,), revive=revive, forms=forms, is_plain=False, is_shallow=False)


def _refused(annotation: Any) -> OptionError:
    text = annotation.__qualname__ if isinstance(annotation, type) else str(annotation)
    remedy = "; give binary data as text, in base64" if annotation in (bytes, bytearray, memoryview) else ""
    return OptionError(f"{text} does not come back from JSON as it was{remedy}; take {_KNOWN}")
