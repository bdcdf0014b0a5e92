"""From a message of NATS to a delivery."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from asyncflow.consuming.delivered import Delivered
from asyncflow.integrations.nats.messages import DEDUPLICATED_BY, MESSAGE_ID, MESSAGE_KEY

_OLD_TOKENS = 9  # of an acknowledgement's subject that has no domain and no account


def delivery_of(topic: str, message: Any) -> Delivered:
    """Return the delivery of what NatsPublisher wrote, or another as far as it goes.

    Its place is its sequence and when it was stored: the sequences of a stream that is made anew begin at 1 again.
    """
    written: dict[str, str] = message.headers or {}
    headers = {
        unquote_to_bytes(name).decode(errors="backslashreplace"): unquote_to_bytes(value)
        for name, value in written.items()
    }
    by_server = headers.pop(DEDUPLICATED_BY, None)
    if by_server is not None:
        headers.setdefault(MESSAGE_ID, by_server)
    key = headers.pop(MESSAGE_KEY, None)
    within = f"{message.metadata.sequence.stream}/{_stored_at(message.reply)}"
    return Delivered(topic, within, key, message.data, headers, message)


def _stored_at(reply: str) -> str:
    """Return the nanoseconds at which the stream stored a message, which nats-py's metadata round."""
    tokens = reply.split(".")
    return tokens[7] if len(tokens) == _OLD_TOKENS else tokens[9]
