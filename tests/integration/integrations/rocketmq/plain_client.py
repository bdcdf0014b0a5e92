"""A client of the broker itself, by the protocol of version 4, which has no part in the publisher."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

UPDATE_TOPIC, DELETE_TOPIC, PULL, MAX_OFFSET = 17, 215, 11, 30
UPDATE_GROUP, OFFSET_OF_GROUP = 200, 14
FOUND, NO_OFFSET = 0, 22
READ, WRITE = 4, 2
QUEUES = 2  # of a topic, unless it is said
LONG_TOPICS = 0xDAA320AB - (1 << 32)  # of the second edition of the format


class Stored(NamedTuple):
    """Hold one message as the broker stores it."""

    queue: int
    body: bytes
    properties: dict[str, str]


class PlainClient:
    """Ask a broker, each time on a connection of its own: one that is idle for two minutes the broker ends."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._queues: dict[str, int] = {}

    def make_topic(self, topic: str, kind: str = "FIFO", permission: int = READ | WRITE, queues: int = QUEUES) -> None:
        self._queues[topic] = queues
        fields = {
            "topic": topic,
            "defaultTopic": "TBW102",
            "readQueueNums": queues,
            "writeQueueNums": queues,
            "perm": permission,
            "topicFilterType": "SINGLE_TAG",
            "topicSysFlag": 0,
            "order": "false",
            "attributes": f"+message.type={kind}",
        }
        code, told, _ = self._ask(UPDATE_TOPIC, fields)
        assert code == FOUND, told

    def make_orderly_group(self, group: str) -> None:
        """Make a group to which a queue brings no more until all is acknowledged that it has brought."""
        config = {"groupName": group, "consumeEnable": True, "consumeMessageOrderly": True, "retryMaxTimes": 1000}
        code, told, _ = self._ask(UPDATE_GROUP, {}, json.dumps(config).encode())
        assert code == FOUND, told

    def left(self, topic: str, group: str) -> int:
        """Return how many messages an orderly group has not acknowledged, or has behind one that it has not."""
        return sum(
            self._end(topic, number) - self._offset(topic, number, group) for number in range(self._queues[topic])
        )

    def _offset(self, topic: str, number: int, group: str) -> int:
        code, told, _ = self._ask(OFFSET_OF_GROUP, {"topic": topic, "queueId": number, "consumerGroup": group})
        assert code in (FOUND, NO_OFFSET), told
        return int(told["extFields"]["offset"]) if code == FOUND else 0

    def delete_topic(self, topic: str) -> None:
        self._ask(DELETE_TOPIC, {"topic": topic})

    def count(self, topic: str) -> int:
        return sum(self._end(topic, number) for number in range(self._queues[topic]))

    def stored(self, topic: str) -> list[Stored]:
        """Return what the topic holds, those of a queue in their order."""
        return [one for number in range(self._queues[topic]) for one in self._queue(topic, number)]

    def _queue(self, topic: str, number: int) -> Iterator[Stored]:
        offset, end = 0, self._end(topic, number)
        while offset < end:
            fields = {
                "consumerGroup": "TOOLS_CONSUMER",
                "topic": topic,
                "queueId": number,
                "queueOffset": offset,
                "maxMsgNums": 32,
                "sysFlag": 4,  # a subscription goes with it
                "commitOffset": 0,
                "suspendTimeoutMillis": 0,
                "subscription": "*",
                "subVersion": 0,
                "expressionType": "TAG",
            }
            code, told, body = self._ask(PULL, fields)
            assert code == FOUND, told
            for one in messages_in(body):
                yield one
                offset += 1

    def _end(self, topic: str, number: int) -> int:
        code, told, _ = self._ask(MAX_OFFSET, {"topic": topic, "queueId": number})
        assert code == FOUND, told
        return int(told["extFields"]["offset"])

    def _ask(self, code: int, fields: dict[str, Any], body: bytes = b"") -> tuple[int, dict[str, Any], bytes]:
        """Return the code of the answer, its header and its body."""
        texts = {name: str(value) for name, value in fields.items()}
        header = json.dumps(
            {"code": code, "language": "OTHER", "version": 0, "opaque": 1, "flag": 0, "extFields": texts}
        ).encode()
        with socket.create_connection(self._address, timeout=60) as connection:
            connection.sendall(struct.pack(">ii", 4 + len(header) + len(body), len(header)) + header + body)
            with connection.makefile("rb") as stream:
                length, header_length = struct.unpack(">ii", stream.read(8))
                header_length &= 0xFFFFFF  # above it, the kind of the header
                told: dict[str, Any] = json.loads(stream.read(header_length))
                return told["code"], told, stream.read(length - 4 - header_length)


def messages_in(data: bytes) -> Iterator[Stored]:
    """Yield the messages of a page, which is as the broker has them in its log."""
    while data:
        size, magic, _, queue = struct.unpack_from(">iiii", data)
        # Behind these: flag, two offsets, flags, time and host of birth, time and host of storage, two of retries.
        at = 16 + 4 + 8 + 8 + 4 + 8 + 8 + 8 + 8 + 4 + 8
        (length,) = struct.unpack_from(">i", data, at)
        body = data[at + 4 : at + 4 + length]
        at += 4 + length
        wide = magic == LONG_TOPICS
        (topic_length,) = struct.unpack_from(">h" if wide else ">b", data, at)
        at += (2 if wide else 1) + topic_length
        (length,) = struct.unpack_from(">h", data, at)
        text = data[at + 2 : at + 2 + length].decode()
        pairs = [pair.split("\x01", 1) for pair in text.split("\x02") if pair]
        yield Stored(queue, body, dict(pairs))
        data = data[size:]
