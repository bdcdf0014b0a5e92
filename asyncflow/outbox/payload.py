"""Payloads: from what the application has at hand to the bytes that travel."""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import orjson

from asyncflow.errors import PayloadNotSerializableError
from asyncflow.text import a_type_of

JSON = "application/json"
BINARY = "application/octet-stream"
SECOND_TIME = "[fold=1]"  # behind a time without a zone: the later one, where clocks are set back and have it twice

# orjson 3.13 writes 10 milliseconds of a time of day as 100, and rounds an offset from UTC to minutes.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME


def encode(payload: Any) -> tuple[bytes, str]:
    """Return ``payload`` as bytes with its content type.

    Bytes pass unchanged. Pydantic models, dataclasses and JSON-able objects become UTF-8 JSON; UUID, datetime
    and enum values as RFC 4122, RFC 3339 and their value, ``Decimal`` as its exact text, in quotes.

    Raises PayloadNotSerializableError, naming the value at fault.
    """
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload), BINARY
    return _to_json(payload, _default), JSON


def encode_argument(value: Any) -> bytes:
    """Return an argument as JSON: as ``encode`` does, and sets, named tuples and durations as well.

    They come back by the handler's annotation; a message has none. Raises PayloadNotSerializableError.
    """
    return _to_json(value, _argument)


def _argument(value: Any) -> Any:
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, timedelta):
        return duration_text(value)
    if isinstance(value, (datetime, time)) and value.fold and value.tzinfo is None:
        return value.isoformat() + SECOND_TIME
    return _default(value)


def duration_text(value: timedelta) -> str:
    """Return a duration in ISO 8601, exactly: days, seconds and microseconds."""
    sign, whole = ("-", -value) if value < timedelta(0) else ("", value)
    return f"{sign}P{whole.days}DT{whole.seconds}.{whole.microseconds:06}S"


def _to_json(payload: Any, default: Callable[[Any], Any]) -> bytes:
    try:
        body = orjson.dumps(payload, default, _OPTIONS)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadNotSerializableError(
            f"payload: {_fault(error)}; give JSON-able values, a dataclass, a pydantic model or bytes"
        ) from error
    if b"null" in body:
        # orjson writes NaN and infinity as null, which would change an amount without a word.
        _refuse_non_finite(payload)
    return body


def _fault(error: Exception) -> BaseException:
    """Return the error that tells what is wrong: orjson's of a number beyond 64 bits, our own of all else."""
    cause: object = error.__cause__
    # Before 3.10 orjson gave a text for a cause.
    return cause if isinstance(cause, Exception) and not isinstance(cause, OverflowError) else error


def _default(value: Any) -> Any:
    if isinstance(value, (date, time)):
        if isinstance(value, time) and value.tzinfo is not None and value.utcoffset() is None:
            raise TypeError(f"the offset of {value} depends on the date, and its zone would be lost")
        return value.isoformat()
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise TypeError(f"the decimal {value} is not finite")
        return str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{a_type_of(value)} cannot be written as JSON: {value!r:.80}")


def _refuse_non_finite(payload: Any) -> None:
    try:
        json.dumps(payload, allow_nan=False, default=_walkable, skipkeys=True)
    except ValueError as error:
        raise PayloadNotSerializableError(
            f"payload: {error}; JSON has no NaN or infinity, send a text or leave the field out"
        ) from error


def _walkable(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # orjson leaves out fields with a leading underscore.
        names = (field.name for field in dataclasses.fields(value) if not field.name.startswith("_"))
        return {name: getattr(value, name) for name in names}
    if hasattr(value, "model_dump"):
        return value.model_dump()  # as Python: pydantic's JSON mode writes null itself
    return list(value) if isinstance(value, (set, frozenset, deque)) else None
