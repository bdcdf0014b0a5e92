"""A consumer's connection to RabbitMQ: pika runs on a thread of its own, so heartbeats go on while a handler works."""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from types import ModuleType
from typing import Any, NamedTuple

from asyncflow.consuming.delivered import Delivered
from asyncflow.errors import UnreachableError
from asyncflow.integrations.rabbitmq.consuming.deliveries import AmqpDeliveries
from asyncflow.integrations.rabbitmq.outcomes import describe_error

_LOOK_SECONDS = 1.0
_END_WITHIN_SECONDS = 10.0


class Wanted(NamedTuple):
    """Say which queues a client has, and how."""

    queues: Collection[str]
    share: int  # of each queue so many messages at a time
    seconds: float  # to connect in


class RabbitMQClient:
    """Hold one connection and its channel, which are its own thread's; the others are the consumer's thread's.

    What is not acknowledged when the connection ends is the queue's again.
    """

    def __init__(self, library: ModuleType, parameters: list[Any], wanted: Wanted, deliveries: AmqpDeliveries) -> None:
        """Connect, and have messages come; raise UnreachableError."""
        self._library = library
        self._deliveries = deliveries
        self._taken: queue.SimpleQueue[Delivered | None] = queue.SimpleQueue()
        self._fault: BaseException | None = None
        self._is_closing = False
        self._is_ready = threading.Event()
        self._connection: Any = None
        self._channel: Any = None
        work = partial(self._run, parameters, wanted)
        self._thread = threading.Thread(target=work, name="asyncflow-rabbitmq-consumer", daemon=True)
        self._thread.start()
        if not self._is_ready.wait(wanted.seconds):
            self._end()
            raise UnreachableError("the broker did not answer in time")
        self.require_living()

    def take(self, most: int, seconds: float) -> Sequence[Delivered]:
        """Return some messages, none if none come in time; raises UnreachableError once the connection is lost."""
        found: list[Delivered] = []
        deadline = monotonic() + seconds
        with suppress(queue.Empty):
            while len(found) < most:
                seconds_left = 0.0 if found else max(0.0, deadline - monotonic())
                one = self._taken.get(timeout=seconds_left) if seconds_left else self._taken.get_nowait()
                if one is None:
                    break
                found.append(one)
        self.require_living()
        return found

    def acknowledge(self, delivery: Delivered) -> None:
        """Let the queue forget a message, soon; raises UnreachableError once the connection is lost."""
        self.require_living()
        self._soon(partial(self._acknowledge, delivery.handle))

    def require_living(self) -> None:
        """Raise UnreachableError once the connection or its channel is lost."""
        if self._fault is not None:
            raise UnreachableError(describe_error(self._fault)) from self._fault

    def close(self, left: Sequence[Delivered]) -> None:
        """End the connection behind all acknowledgements, whereby what is left goes back."""
        self._soon(self._end)
        self._thread.join(_END_WITHIN_SECONDS)

    def _soon(self, work: Any) -> None:
        with suppress(self._library.exceptions.ConnectionWrongStateError):  # it has ended, which ``take`` tells
            self._connection.add_callback_threadsafe(work)

    # -- on the connection's own thread --------------------------------------------------------------------

    def _run(self, parameters: list[Any], wanted: Wanted) -> None:
        try:
            self._connection = self._library.BlockingConnection(parameters)
            self._channel = self._connection.channel()
            self._channel.add_on_cancel_callback(self._hear_of_a_cancel)
            self._channel.basic_qos(prefetch_count=wanted.share)
            for name in wanted.queues:
                self._channel.basic_consume(name, partial(self._hear, name))
            self._is_ready.set()
            while not self._is_closing:
                self._connection.process_data_events(time_limit=_LOOK_SECONDS)
                self._require_open()
        except Exception as error:  # noqa: BLE001 - raised on the consumer's thread
            self._fault = error
        finally:
            if self._connection is not None:
                with suppress(Exception):  # it is lost
                    self._connection.close()
            self._taken.put(None)
            self._is_ready.set()

    def _hear(self, queue_name: str, _: Any, method: Any, properties: Any, body: bytes) -> None:
        self._taken.put(self._deliveries.made(queue_name, method, properties, body))

    def _hear_of_a_cancel(self, _: Any) -> None:
        raise UnreachableError("the broker has cancelled a consumer: was its queue deleted?")

    def _require_open(self) -> None:
        """Hear of a channel that the broker closed, of which pika tells nobody who only processes events."""
        if not self._channel.is_open:
            reason = getattr(self._channel, "_closing_reason", None)
            told = "" if reason is None else f": {describe_error(reason)}"
            raise UnreachableError(f"the broker has closed the channel{told}") from reason

    def _acknowledge(self, tag: int) -> None:
        self._channel.basic_ack(tag)

    def _end(self) -> None:
        self._is_closing = True
