"""Each broker's own client by itself: messages that are there already, acknowledged, and no database.

Each as its documentation has it where many messages are sent. A sender takes rounds of rows until it is closed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

Row = Sequence[Any]  # id, key, payload


class Sender(Protocol):
    """Send rounds of rows to one topic; returns when all of a round is acknowledged, raises if anything is not."""

    def __call__(self, rows: Sequence[Row]) -> None:
        """Send a round."""

    def close(self) -> None:
        """Disconnect."""


class _Sending:
    """Hold how to send a round, and how to disconnect."""

    def __init__(self, send: Callable[[Sequence[Row]], None], close: Callable[[], object]) -> None:
        self._send = send
        self._close = close

    def __call__(self, rows: Sequence[Row]) -> None:
        self._send(rows)

    def close(self) -> None:
        with suppress(Exception):
            self._close()


def confluent_kafka(bootstrap: str, topic: str) -> Sender:
    """Return a sender on confluent-kafka: acknowledged by all replicas, idempotent."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 1})
    failed: list[Any] = []

    def report(error: Any, _: Any) -> None:
        if error is not None:
            failed.append(error)

    def send(rows: Sequence[Row]) -> None:
        for task_id, key, payload in rows:
            producer.produce(topic, payload, key.encode(), on_delivery=report, headers=[("message-id", task_id)])
        producer.flush()
        if failed:
            raise RuntimeError(f"not delivered: {failed[0]}")

    return _Sending(send, producer.flush)


def pika(url: str, queue: str) -> Sender:
    """Return a sender on pika's BlockingConnection: persistent, mandatory, one confirm after the other."""
    from pika import BasicProperties, BlockingConnection, URLParameters

    connection = BlockingConnection(URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()

    def send(rows: Sequence[Row]) -> None:
        for task_id, _, payload in rows:
            properties = BasicProperties(delivery_mode=2, message_id=task_id.hex())
            channel.basic_publish("", queue, payload, properties, mandatory=True)

    return _Sending(send, connection.close)


def redis_py(url: str, stream: str) -> Sender:
    """Return a sender on redis-py: a pipeline for each 500 entries."""
    from redis import Redis

    client = Redis.from_url(url)

    def send(rows: Sequence[Row]) -> None:
        for first in range(0, len(rows), 500):
            with client.pipeline(transaction=False) as pipeline:
                for task_id, key, payload in rows[first : first + 500]:
                    pipeline.xadd(stream, {"key": key, "value": payload, "header:message-id": task_id})
                pipeline.execute()

    return _Sending(send, client.close)


def nats_py(url: str, subject: str) -> Sender:
    """Return a sender on nats-py: as many on their way as its ``publish_async`` lets go."""
    import nats

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    client = run(nats.connect(url))
    stream = client.jetstream()

    async def publish(rows: Sequence[Row]) -> None:
        sent = [
            await stream.publish_async(subject, payload, wait_stall=60.0, headers={"Nats-Msg-Id": task_id.hex()})
            for task_id, _, payload in rows
        ]
        for acknowledgement in sent:
            await acknowledgement

    def close() -> None:
        run(client.close())
        loop.call_soon_threadsafe(loop.stop)

    return _Sending(lambda rows: run(publish(rows)), close)


def rocketmq(proxy: str, topic: str) -> Sender:
    """Return a sender on the official client: each message of a group waits for the one ahead."""
    from rocketmq import ClientConfiguration, Credentials, Message, Producer

    producer = Producer(ClientConfiguration(proxy, Credentials()), (topic,))
    producer.startup()

    def send(rows: Sequence[Row]) -> None:
        for task_id, key, payload in rows:
            message = Message()
            message.topic, message.body, message.keys = topic, payload, task_id.hex()
            message.message_group = key
            producer.send(message)

    return _Sending(send, producer.shutdown)
