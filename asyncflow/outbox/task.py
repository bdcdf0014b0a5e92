"""A task as the run side reads it."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

import orjson

# Beside the headers that were given:
_OWN = "asyncflow-"
FOLLOW_UP = "asyncflow-then"  # the task that follows this one
OUTCOME_TO = "asyncflow-outcome"  # of which type the message is that tells of its outcome
UNIQUE_KEY = "asyncflow-unique"  # the key that it holds while it waits or is at work
# And of a payload that is encrypted, by which algorithm and with which key.
ALGORITHM, KEY_ID = "payload-encryption", "payload-key-id"


def has_own_headers(text: str | None) -> bool:
    """Tell whether a row's headers seem to hold more than was given and marks of encryption, at the cost of a look."""
    return text is not None and _OWN in text


def headers_of(text: str | None) -> dict[str, str]:
    """Return the headers that were given, from what the row holds."""
    if text is None:
        return {}
    headers: dict[str, str] = orjson.loads(text)
    headers.pop(FOLLOW_UP, None)
    headers.pop(OUTCOME_TO, None)
    if ALGORITHM in headers:
        del headers[ALGORITHM]
        headers.pop(KEY_ID, None)
    headers.pop(UNIQUE_KEY, None)
    return headers


class Task(NamedTuple):
    """Hold one fetched row; the fields are in the order of the fetch statement's columns.

    ``raw_id`` is the id in the form in which it goes back to the database, bytes or text, as the driver returned it:
    converting thousands of ids a second would cost more than settling them.
    """

    raw_id: Any
    task_type: str
    shard: int
    key: str | None
    headers_json: str | None
    payload: bytes | None
    retry_count: int
    max_retries: int

    @property
    def id(self) -> uuid.UUID:
        """Return the task's id, which is the message id downstream."""
        return uuid_of(self.raw_id)

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers given at the enqueue."""
        return headers_of(self.headers_json)


def uuid_of(raw_id: Any) -> uuid.UUID:
    """Return the UUID of an id in any form that a driver gives it: a UUID, its text or its bytes."""
    if isinstance(raw_id, uuid.UUID):
        return raw_id
    return uuid.UUID(raw_id) if isinstance(raw_id, str) else uuid.UUID(bytes=bytes(raw_id))
