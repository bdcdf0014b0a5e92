"""From a record to a message of NATS."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote_from_bytes

from asyncflow.integrations.nats.settings import NatsSettings
from asyncflow.integrations.nats.subjects import fault_of_subject
from asyncflow.scheduler.publishing.publisher import Record, Rejected

MESSAGE_ID, MESSAGE_KEY = "message-id", "message-key"
DEDUPLICATED_BY = "Nats-Msg-Id"
# The server takes such headers for orders: to purge what a subject had, to expect a stream, to forget a message.
ORDERS = "nats-"
# What is not among these, or letters, digits and _.-~, is written as %XX: names are tokens, values printable ASCII.
PLAIN_IN_NAMES = "!#$&'*+^`|"
PLAIN_IN_VALUES = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}"
SPACE = "%20"
BYTES_OF_A_HEADER = len(": \r\n")
BYTES_OF_ALL_HEADERS = len("NATS/1.0\r\n\r\n")


class NatsMessage(NamedTuple):
    """Hold what nats-py's ``publish`` is given; ``size`` is what the server counts, headers and payload."""

    subject: str
    payload: bytes
    headers: dict[str, str]
    size: int


class UnsendableError(Exception):
    """A record does not fit into NATS; the text says why."""


class NatsMessages:
    """Make messages of records; lives as long as its publisher."""

    def __init__(self, settings: NatsSettings) -> None:
        self._max_bytes = settings.max_message_bytes

    def make(self, record: Record) -> NatsMessage | Rejected:
        """Return the message, with the task's id as its Nats-Msg-Id and the key as a header; or why there is none."""
        try:
            return self._made(record)
        except UnsendableError as error:
            return Rejected(str(error))

    def _made(self, record: Record) -> NatsMessage:
        if fault := fault_of_subject(record.topic):
            raise UnsendableError(f"no message is published to the subject {record.topic!r}: {fault}")
        headers = _headers(record)
        size = size_of(headers, record.value)
        if size > self._max_bytes:
            raise UnsendableError(
                f"the message has {size} bytes with its headers; max_message_bytes is {self._max_bytes}"
            )
        return NatsMessage(record.topic, record.value, headers, size)


def size_of(headers: dict[str, str], payload: bytes) -> int:
    """Return the bytes that count for the server's max_payload."""
    lines = sum(len(name) + len(value) + BYTES_OF_A_HEADER for name, value in headers.items())
    return BYTES_OF_ALL_HEADERS + lines + len(payload)


def _headers(record: Record) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in record.headers:
        if not name or name.lower().startswith(ORDERS) or name == MESSAGE_KEY:
            raise UnsendableError(f"the header {name!r} is not sent: {_why_not(name)}")
        written = quote_from_bytes(name.encode(), safe=PLAIN_IN_NAMES)
        if written in headers:
            raise UnsendableError(f"the header {name!r} is there twice; nats-py sends each once")
        headers[written] = encoded(value)
    if MESSAGE_ID in headers:
        headers[DEDUPLICATED_BY] = headers[MESSAGE_ID]
    if record.key is not None:
        headers[MESSAGE_KEY] = encoded(record.key)
    return headers


def _why_not(name: str) -> str:
    if name == MESSAGE_KEY:
        return "the publisher writes the key there"
    return "the server would take it for an order" if name else "it has no name"


def encoded(value: bytes) -> str:
    """Return the value of a header as printable ASCII; every other byte, % and a space at an end are %XX.

    The client takes spaces away at both ends, and servers keep lines: whoever decodes %XX has the bytes back.
    """
    text = quote_from_bytes(value, safe=PLAIN_IN_VALUES)
    if text.startswith(" "):
        text = SPACE + text[1:]
    return text[:-1] + SPACE if text.endswith(" ") else text
