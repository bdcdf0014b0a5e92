"""A message as it comes from a broker, whichever, and what tells it from all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Protocol

import orjson

from asyncflow.errors import InvalidMessageIdError
from asyncflow.outbox.message import CAPTURED_HEADERS
from asyncflow.outbox.tables import MESSAGE_ID_LENGTH
from asyncflow.text import require_text

MESSAGE_ID, MESSAGE_TYPE = "message-id", "message-type"  # headers that the outbox writes


class AnyReceived(Protocol):
    """Hold one message."""

    @property
    def topic(self) -> str:
        """Return where subscribers ask for it."""
        ...

    @property
    def key(self) -> bytes | None:
        """Return its key, None if it has none."""
        ...

    @property
    def value(self) -> bytes | None:
        """Return what it carries."""
        ...

    @property
    def headers(self) -> Mapping[str, bytes]:
        """Return its headers."""
        ...

    @property
    def id(self) -> str:
        """Return what tells it from all others: its message id, or its place where it has none that can be kept."""
        ...

    @property
    def place(self) -> str:
        """Return where it stands, for people; no two messages have the same."""
        ...

    @property
    def place_id(self) -> str:
        """Return an id of its place that can be kept."""
        ...

    @property
    def task_type(self) -> str:
        """Return what it is: its task type, or its topic where the producer named none."""
        ...


def headers_among(given: Iterable[tuple[str, bytes | None]]) -> dict[str, bytes]:
    """Return headers by name, with those of a captured message, which come as JSON in one, as a relay sends them."""
    headers = {name: value for name, value in given if value is not None}
    captured = _texts(headers.get(CAPTURED_HEADERS))
    if not captured:
        return headers
    del headers[CAPTURED_HEADERS]
    return {**headers, **captured}


def _texts(value: bytes | None) -> dict[str, bytes]:
    """Return what a JSON object of texts holds; nothing of what is none."""
    try:
        found = orjson.loads(value or b"{}")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        return {}
    return {name: one.encode() for name, one in found.items()}


def id_among(headers: Mapping[str, bytes], place_id: str) -> str:
    """Return the id that headers name, or that of the place where they name none that can be kept."""
    try:
        named = _text(headers.get(MESSAGE_ID, b""))
        return require_text("message_id", named, MESSAGE_ID_LENGTH, InvalidMessageIdError)
    except InvalidMessageIdError:
        return place_id


def type_among(headers: Mapping[str, bytes], topic: str) -> str:
    """Return the task type that headers name, or the topic."""
    named = headers.get(MESSAGE_TYPE)
    return _text(named) if named else topic


def place_that_fits(topic: str, within: str) -> str:
    """Return an id of a place in a topic, which may have a name as long as an id."""
    place = f"{topic}/{within}"
    return place if len(place) <= MESSAGE_ID_LENGTH else f"{sha256(topic.encode()).hexdigest()}/{within}"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
