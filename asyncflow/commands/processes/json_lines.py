"""Log records as lines of JSON, with the fields of the event that each tells of."""

from __future__ import annotations

import dataclasses
import logging
import traceback
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import orjson

from asyncflow.commands.terminal.as_json import printable_json
from asyncflow.events import Event
from asyncflow.text import without_parameters

_LONGEST_ERROR = 2000


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON object: time, level, logger, pid, message, and the event with its fields.

    What an event holds are names, ids, keys, numbers and errors: no payload, no header, no parameter of SQL.
    """

    def __init__(self, process: str | None = None) -> None:
        super().__init__()
        self._fixed: dict[str, Any] = {} if process is None else {"process": process}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with all escaped that a terminal acts on or hides."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "pid": record.process,
            **self._fixed,
            "message": record.getMessage(),
        }
        event = getattr(record, "event", None)
        if isinstance(event, Event):
            line |= {"event": type(event).__name__, "fields": fields_of(event)}
        if record.exc_info and record.exc_info[1] is not None:
            line["traceback"] = without_parameters("".join(traceback.format_exception(record.exc_info[1])))
        if record.stack_info:
            line["stack"] = record.stack_info
        try:
            text = orjson.dumps(line, default=str)
        except TypeError:  # half a surrogate pair, as in the name of a file, or a number of more than 64 bits
            text = orjson.dumps(_fit(line), default=str)
        return printable_json(text.decode())


def _fit(value: Any) -> Any:
    """Return what every reader of JSON takes, in place of what is no UTF-8 and of numbers that are too long."""
    if isinstance(value, dict):
        return {_fit(name): _fit(one) for name, one in value.items()}
    if isinstance(value, list):
        return list(map(_fit, value))
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return value if not isinstance(value, int) or -(2**63) <= value < 2**63 else str(value)


def fields_of(event: Event) -> Mapping[str, Any]:
    """Return the fields of an event as JSON knows them, without those that are empty."""
    given = ((field.name, getattr(event, field.name)) for field in dataclasses.fields(event))
    told = {name: _plain(value) for name, value in given if value is not None and value != ()}
    if not event.database_name:
        del told["database_name"]
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {without_parameters(_text_of(value))}"[:_LONGEST_ERROR]
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error that cannot be printed is still an error
        return "(it cannot be printed)"
