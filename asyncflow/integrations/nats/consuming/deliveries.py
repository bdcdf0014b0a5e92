"""From a message of NATS to a delivery."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from asyncflow.consuming.delivered import Delivered
from asyncflow.integrations.nats.messages import DEDUPLICATED_BY, MESSAGE_ID, MESSAGE_KEY


def delivery_of(topic: str, message: Any) -> Delivered:
    """Return the delivery of what NatsPublisher wrote, or another as far as it goes; its place is its sequence."""
    written: dict[str, str] = message.headers or {}
    headers = {
        unquote_to_bytes(name).decode(errors="backslashreplace"): unquote_to_bytes(value)
        for name, value in written.items()
    }
    by_server = headers.pop(DEDUPLICATED_BY, None)
    if by_server is not None:
        headers.setdefault(MESSAGE_ID, by_server)
    key = headers.pop(MESSAGE_KEY, None)
    return Delivered(topic, str(message.metadata.sequence.stream), key, message.data, headers, message)
