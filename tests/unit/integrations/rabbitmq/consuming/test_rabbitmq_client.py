"""What a consumer's connection to RabbitMQ hears; with a connection of the test's own."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from asyncflow.errors import UnreachableError
from asyncflow.integrations.rabbitmq import RabbitMQSettings
from asyncflow.integrations.rabbitmq.consuming.client import RabbitMQClient, Wanted
from asyncflow.integrations.rabbitmq.consuming.deliveries import AmqpDeliveries

pika = pytest.importorskip("pika")


class Channel:
    def __init__(self) -> None:
        self.is_open = True
        self._closing_reason: Any = None

    def add_on_cancel_callback(self, heard: Any) -> None: ...

    def basic_qos(self, prefetch_count: int) -> None: ...

    def basic_consume(self, name: str, heard: Any) -> None: ...

    def close_with(self, reason: Any) -> None:
        self._closing_reason, self.is_open = reason, False


class Connection:
    """Live on without its channel, as pika's does: processing events raises nothing."""

    def __init__(self) -> None:
        self.its_channel = Channel()
        self.is_closing = threading.Event()
        self.is_closed = False

    def channel(self) -> Channel:
        return self.its_channel

    def process_data_events(self, time_limit: float) -> None:
        if self.is_closing.wait(time_limit) and self.its_channel.is_open:
            self.its_channel.close_with(
                pika.exceptions.ChannelClosedByBroker(406, "PRECONDITION_FAILED - delivery acknowledgement timed out")
            )

    def add_callback_threadsafe(self, work: Any) -> None:
        work()

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("ask", ["require_living", "take"])
def test_a_channel_that_the_broker_closes_ends_the_client_with_the_broker_s_reason(ask: str) -> None:
    connection = Connection()
    library: Any = SimpleNamespace(BlockingConnection=lambda _: connection, exceptions=pika.exceptions)
    client = RabbitMQClient(library, [], Wanted(["coupons"], 1, 10.0), AmqpDeliveries(RabbitMQSettings()))
    client.require_living()
    connection.is_closing.set()
    client._thread.join(10.0)
    assert connection.is_closed
    with pytest.raises(UnreachableError, match=r"closed the channel: .*406.*delivery acknowledgement timed out"):
        client.require_living() if ask == "require_living" else client.take(1, 0.0)
