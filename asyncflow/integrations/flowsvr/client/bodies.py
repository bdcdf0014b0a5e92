"""The bodies of requests, as the service takes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

from asyncflow.errors import InvalidRunAtError
from asyncflow.outbox import Call
from asyncflow.outbox import payload as payloads
from asyncflow.text import shown


def json_of(call: Call) -> dict[str, Any]:
    """Return a call's fields as the service takes them."""
    arguments, _ = payloads.encode(dict(call.arguments))
    delay = call.delay_seconds.total_seconds() if isinstance(call.delay_seconds, timedelta) else call.delay_seconds
    fields: dict[str, Any] = {"arguments": orjson.Fragment(arguments)}
    fields |= given({"key": call.key, "headers": call.headers and dict(call.headers), "run_at": _moment(call.run_at)})
    fields |= given({"idempotency_key": call.idempotency_key, "max_retries": call.max_retries})
    fields |= given({"unique_key": call.unique_key})
    fields |= {"priority": call.priority} if call.priority else {}
    return fields | ({"delay_seconds": delay} if delay else {})


def _moment(run_at: datetime | None) -> datetime | None:
    if run_at is not None and (not isinstance(run_at, datetime) or run_at.utcoffset() is None):
        raise InvalidRunAtError(f"run_at is {shown(run_at)}; give an aware datetime, or delay_seconds")
    return run_at


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}
