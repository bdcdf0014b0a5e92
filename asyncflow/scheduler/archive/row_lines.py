"""A row as a line of JSON, which keeps all of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from asyncflow.outbox.status import Status


def line_of(row: Mapping[Any, Any]) -> bytes:
    """Return the row, column by column; the status by its name, bytes as text or, if they are none, in base64.

    What the application has added is kept as JSON has it, or as its text.
    """
    told = {str(name): _value(value) for name, value in row.items()}
    told["status"] = Status(row["status"]).name
    return orjson.dumps(told, default=str)


def _value(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _text(bytes(value))
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)  # what JSON's readers, and ours, do not take as a number
    return value


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
