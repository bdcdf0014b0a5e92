"""From a message of RocketMQ to a delivery."""

from __future__ import annotations

import logging
import zlib
from typing import Any
from urllib.parse import unquote_to_bytes

from asyncflow.consuming.delivered import Delivered
from asyncflow.integrations.rocketmq.consuming.receipts import Receipt
from asyncflow.integrations.rocketmq.extras import Client
from asyncflow.integrations.rocketmq.messages import EMPTY, EMPTY_BODY, MESSAGE_KEY

_LOGGER = logging.getLogger("asyncflow.integrations.rocketmq")


def delivery_of(client: Client, message: Any) -> Delivered:
    """Return the delivery of what RocketMQPublisher wrote, or another as far as it goes.

    Its place is RocketMQ's message id, which is the same whenever a message comes again.
    """
    its = message.system_properties
    headers = {_text(name): _bytes(value) for name, value in message.user_properties.items()}
    # A message without a key is a group of its own.
    group = "" if its.message_group == its.message_id else its.message_group
    key = headers.pop(MESSAGE_KEY, group.encode() or None)
    is_empty = headers.pop(EMPTY_BODY, None) is not None
    value = b"" if is_empty else _unpacked(client, message)
    receipt = Receipt(message.topic.name, its.message_id, its.receipt_handle)
    return Delivered(message.topic.name, its.message_id, key, value, headers, receipt)


def _unpacked(client: Client, message: Any) -> bytes:
    if message.system_properties.body_encoding == client.protocol.Encoding.GZIP:
        try:
            unpacked: bytes = client.rocketmq.v5.util.Misc.uncompress_bytes_gzip(message.body)
        except (OSError, EOFError, zlib.error) as error:
            # Its subscriber fails with it, and no other: to raise here would end the client with all its topics.
            told = (message.topic.name, message.system_properties.message_id, error)
            _LOGGER.warning("A body that is said to be packed cannot be unpacked, and is handed on: %r %r: %s", *told)
        else:
            return unpacked
    return bytes(message.body)


def _text(name: str) -> str:
    return unquote_to_bytes(name).decode(errors="backslashreplace")


def _bytes(value: str) -> bytes:
    return b"" if value == EMPTY else unquote_to_bytes(value)
