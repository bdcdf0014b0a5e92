"""A subscriber: a handler, the messages that it gets, and the arguments that it takes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from asyncflow.consuming.received import AnyReceived
from asyncflow.errors import InvalidArgumentsError, InvalidHeadersError
from asyncflow.outbox import HandlerType
from asyncflow.outbox.message import MAX_HEADERS_BYTES, RESERVED_HEADERS
from asyncflow.outbox.tables import KEY_LENGTH
from asyncflow.text import a_type_of, require_text


@dataclass(frozen=True, slots=True)
class Subscription:
    """Hold one subscriber, whose name is that of its task type and of its place in the inbox."""

    kind: HandlerType
    task_type: str  # of the messages
    topic: str

    @property
    def name(self) -> str:
        """Return by what the inbox knows it."""
        return self.kind.name

    def takes(self, message: AnyReceived) -> bool:
        """Tell whether a message is for it."""
        return (message.task_type, message.topic) == (self.task_type, self.topic)

    def arguments(self, message: AnyReceived) -> dict[str, Any]:
        """Return what the handler is called with; raises InvalidArgumentsError for a message that does not fit."""
        return self.kind.handling().signature.given(_object(message))

    def payload(self, message: AnyReceived) -> bytes:
        """Return what a dead letter carries: the fields that the handler takes, or the value as it came."""
        try:
            return orjson.dumps(self.kind.handling().signature.own(_object(message)))
        except (InvalidArgumentsError, TypeError):  # too deep to be written again
            return message.value or b""


def headers_of_message(message: AnyReceived) -> dict[str, str]:
    """Return the headers as text, and where the message came from."""
    given = {name: value.decode(errors="backslashreplace") for name, value in message.headers.items()}
    own = {name: value for name, value in given.items() if name.lower() not in RESERVED_HEADERS}
    return {**own, "from-message": message.id, "from-type": message.task_type, "from-place": message.place}


def headers_that_fit(headers: Mapping[str, str], *, only_ascii: bool) -> tuple[dict[str, str], list[str]]:
    """Return those that a row can keep, and the names of those that it cannot; where it came from goes first."""
    kept: dict[str, str] = {}
    left_out: list[str] = []
    size = 2
    for name, value in sorted(headers.items(), key=lambda header: not header[0].startswith("from-")):
        its_size = len(orjson.dumps({name: value}))
        if size + its_size > MAX_HEADERS_BYTES or not _is_kept(name) or (only_ascii and not f"{name}{value}".isascii()):
            left_out.append(name)
            continue
        kept[name] = value
        size += its_size
    return kept, left_out


def _is_kept(name: str) -> bool:
    try:
        require_text("header name", name, KEY_LENGTH, InvalidHeadersError)
    except InvalidHeadersError:
        return False
    return True


def key_of_message(message: AnyReceived) -> str | None:
    """Return the key, if it is a text that a task may have."""
    try:
        key = (message.key or b"").decode().strip()
    except UnicodeDecodeError:
        return None
    return key if 0 < len(key) <= KEY_LENGTH and key.isprintable() else None


def _object(message: AnyReceived) -> Mapping[str, Any]:
    try:
        value = orjson.loads(message.value or b"{}")
    except orjson.JSONDecodeError as error:
        raise InvalidArgumentsError(f"the message {message.id} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgumentsError(f"the message {message.id} is no JSON object, but {a_type_of(value)}")
    return value
