"""From a record to a message of AMQP 0-9-1."""

from __future__ import annotations

from collections.abc import Hashable
from types import ModuleType
from typing import Any, NamedTuple

from asyncflow.integrations.rabbitmq.settings import RabbitMQSettings, fault_of_name
from asyncflow.scheduler.publishing.publisher import Record, Rejected

MESSAGE_KEY = "message-key"
# Headers of ours for which AMQP has a property.
PROPERTIES = {"message-id": "message_id", "message-type": "type", "content-type": "content_type"}
PERSISTENT = 2


class AmqpMessage(NamedTuple):
    """Hold what ``basic_publish`` is given."""

    exchange: str
    routing_key: str
    body: bytes
    properties: Any

    @property
    def mark(self) -> Hashable:
        """Return what a message is known by that comes back."""
        return mark_of(self.exchange, self.routing_key, self.properties, self.body)


class UnsuitableError(Exception):
    """A record does not fit into AMQP; the text says why."""


class MessageMaker:
    """Make messages of records; lives as long as its publisher."""

    def __init__(self, library: ModuleType, settings: RabbitMQSettings) -> None:
        self._properties = library.BasicProperties
        self._exchange = settings.exchange
        self._max_bytes = settings.max_message_bytes

    def make(self, record: Record) -> AmqpMessage | Rejected:
        """Return the message, persistent, with the task's id as its message_id; or why there is none."""
        try:
            return self._made(record)
        except UnsuitableError as error:
            return Rejected(str(error))

    def _made(self, record: Record) -> AmqpMessage:
        topic, key, value, _ = record
        if len(value) > self._max_bytes:
            raise UnsuitableError(f"the message has {len(value)} bytes; max_message_bytes is {self._max_bytes}")
        properties, headers = self._sorted(record)
        if self._exchange is None:
            exchange, routing_key = topic, _text(key or b"")
        else:
            exchange, routing_key = self._exchange, topic
            if key is not None:
                headers[MESSAGE_KEY] = _text_or_bytes(key)
        for what, name in (("exchange", exchange), ("routing key", routing_key)):
            if fault := fault_of_name(name):
                raise UnsuitableError(f"the {what} is too long: {fault}")
        made = self._properties(delivery_mode=PERSISTENT, headers=headers or None, **properties)
        return AmqpMessage(exchange, routing_key, value, made)

    def _sorted(self, record: Record) -> tuple[dict[str, str], dict[str, str | bytes]]:
        """Return properties and headers; what has no room in its property stays a header."""
        properties: dict[str, str] = {}
        headers: dict[str, str | bytes] = {}
        for name, value in record.headers:
            text = _text_or_bytes(value)
            if name in PROPERTIES and isinstance(text, str) and not fault_of_name(text):
                properties[PROPERTIES[name]] = text
                continue
            if fault := fault_of_name(name):
                raise UnsuitableError(f"the name of a header is too long: {fault}")
            headers[name] = text
        return properties, headers


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise UnsuitableError("the key is no UTF-8, which a routing key has to be") from error


def _text_or_bytes(value: bytes) -> str | bytes:
    """Return text where it is text: so other clients see it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def mark_of(exchange: str, routing_key: str, properties: Any, body: bytes) -> Hashable:
    """Return the message's id, or all of a message that has none."""
    return properties.message_id or (exchange, routing_key, body)
