"""From a record to a message of RocketMQ."""

from __future__ import annotations

import re
import socket
import time
import uuid
from hashlib import blake2b
from types import ModuleType
from typing import Any, NamedTuple

from asyncflow.integrations.rocketmq.settings import RocketMQSettings
from asyncflow.integrations.rocketmq.topics import fault_of_topic
from asyncflow.scheduler.publishing.publisher import Record, Rejected

MESSAGE_ID, MESSAGE_KEY = "message-id", "message-key"
# A property that is empty is not kept by the broker.
EMPTY = "%"
# So is a body.
EMPTY_BODY = "message-is-empty"
# The proxy's limits of a message group, in bytes, and of properties: their bytes, and how many there are.
MAX_GROUP_BYTES = 63
ID_VERSION = "01"

# What the broker keeps its own properties by has such names.
_THE_BROKERS = re.compile(r"[A-Z_][A-Z0-9_]*")
# Control characters are refused, spaces at an end may be taken away, and % begins what is written as %XX.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f%\ud800-\udfff]|^ +| +$")


class UnfitRecordError(Exception):
    """A record does not fit into RocketMQ; the text says why."""


class GroupedMessage(NamedTuple):
    """Hold a request for one message, and what it waits behind: the message before it of the same lane, if any."""

    request: Any
    lane: tuple[str, bytes] | None


class RocketMQMessages:
    """Make requests of records; lives as long as its publisher."""

    def __init__(self, protocol: ModuleType, settings: RocketMQSettings) -> None:
        self._protocol = protocol
        self._settings = settings
        self._host = socket.gethostname()

    def make(self, record: Record) -> GroupedMessage | Rejected:
        """Return the request that sends a record, or why there is none."""
        try:
            return self._made(record)
        except UnfitRecordError as error:
            return Rejected(str(error))

    def _made(self, record: Record) -> GroupedMessage:
        if fault := fault_of_topic(record.topic):
            raise UnfitRecordError(f"no message is published to the topic {record.topic!r}: {fault}")
        message = {
            "topic": {"resource_namespace": self._settings.namespace, "name": record.topic},
            "body": record.value or b"\0",
            "user_properties": properties_of(record),
            "system_properties": self._described(record),
        }
        request = self._protocol.SendMessageRequest(messages=[message])
        size = request.ByteSize()
        if size > self._settings.max_message_bytes:
            raise UnfitRecordError(
                f"the message has {size} bytes with its properties; max_message_bytes is "
                f"{self._settings.max_message_bytes}"
            )
        is_grouped = self._settings.fifo and record.key is not None
        return GroupedMessage(request, (record.topic, record.key or b"") if is_grouped else None)

    def _described(self, record: Record) -> dict[str, Any]:
        told = next((value for name, value in record.headers if name == MESSAGE_ID), None)
        message_id, now = id_of(told), time.time_ns()
        text = "" if told is None else told.decode(errors="replace")
        its = {
            "message_id": message_id,
            "keys": [text] if text.isprintable() and text and " " not in text else [],
            "message_type": self._protocol.MessageType.NORMAL,
            "body_encoding": self._protocol.Encoding.IDENTITY,
            "born_timestamp": {"seconds": now // 10**9, "nanos": now % 10**9},
            "born_host": self._host,
        }
        if not self._settings.fifo:
            return its
        group = message_id if record.key is None else group_of(record.key)
        return {**its, "message_type": self._protocol.MessageType.FIFO, "message_group": group}


def id_of(message_id: bytes | None) -> str:
    """Return the id by which RocketMQ finds a message, the same whenever it is sent; a new one for a message without.

    The client's own ids are made of the process in which it began, and are the same in the children of a fork.
    """
    if message_id is None:
        return ID_VERSION + uuid.uuid4().hex.upper()
    try:
        number = uuid.UUID(message_id.decode("ascii")).hex
    except ValueError:
        number = blake2b(message_id, digest_size=16).hexdigest()
    return ID_VERSION + number.upper()


def group_of(key: bytes) -> str:
    """Return the message group of a key: the key itself where that is one, else a digest of it."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        text = ""
    if text.strip() and len(key) <= MAX_GROUP_BYTES and not _UNFIT.search(text):
        return text
    return f"key-{blake2b(key, digest_size=24).hexdigest()}"


def properties_of(record: Record) -> dict[str, str]:
    """Return a record's headers and its key as properties; raise UnfitRecordError."""
    properties: dict[str, str] = {}
    for name, value in record.headers:
        if not name or name in (MESSAGE_KEY, EMPTY_BODY):
            why = "the publisher writes its own there" if name else "it has no name"
            raise UnfitRecordError(f"the header {name!r} is not sent: {why}")
        written = _name(name)
        if written in properties:
            raise UnfitRecordError(f"the header {name!r} is there twice; RocketMQ keeps each once")
        properties[written] = encoded(value)
    if record.key is not None:
        properties[MESSAGE_KEY] = encoded(record.key)
    if not record.value:
        properties[EMPTY_BODY] = "true"
    return properties


def encoded(value: bytes) -> str:
    """Return the value of a property: the text, with %XX for what is none and for what the proxy refuses.

    Whoever decodes %XX has the bytes back; a sole % stands for nothing at all.
    """
    return _UNFIT.sub(_quoted, value.decode(errors="surrogateescape")) or EMPTY


def _name(name: str) -> str:
    written = _UNFIT.sub(_quoted, name)
    return f"%{ord(name[0]):02X}{written[1:]}" if _THE_BROKERS.fullmatch(name) else written


def _quoted(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogateescape"))
