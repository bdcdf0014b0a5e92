"""A connection of a consumer to NATS; its loop has a thread, so signs of life go on while a handler works."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Coroutine, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from asyncflow.consuming.arrivals import Arrivals
from asyncflow.consuming.delivered import Delivered
from asyncflow.errors import UnreachableError
from asyncflow.integrations.nats.api import JetStreamApi
from asyncflow.integrations.nats.client_loop import NatsLoop
from asyncflow.integrations.nats.connection import GIVEN_UP_WITHIN_SECONDS, ONCE
from asyncflow.integrations.nats.consuming.deliveries import delivery_of
from asyncflow.integrations.nats.consuming.durables import Durables
from asyncflow.integrations.nats.consuming.pull import Pull
from asyncflow.integrations.nats.outcomes import describe
from asyncflow.integrations.nats.servers import ServerAddress

_PING_SECONDS = 10  # a server that is silent for three of them is gone
_SIGNS = 3  # of life, within the time after which one is dead
_END_WITHIN_SECONDS = 10.0

T = TypeVar("T")


class NatsClient:
    """Hold one connection, on its own thread's loop; the others are called by the consumer's thread."""

    def __init__(self, address: ServerAddress, durables: Durables, topics: Collection[str], deadline: float) -> None:
        """Connect; raise UnreachableError if that is not done by ``deadline`` (monotonic)."""
        self._address = address
        self._client: Any = address.library.NATS()
        self._loop = NatsLoop()
        self._pulls: list[Pull] = []
        self._arrivals = Arrivals()
        self._in_hand: dict[str, Any] = {}  # on the loop: messages by their places
        self._signs: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="asyncflow-nats-consumer", daemon=True)
        self._thread.start()
        try:
            self._run(self._open(durables, topics, deadline), deadline - monotonic())
        except BaseException:
            self._end()
            raise

    def take(self, most: int, seconds: float) -> Sequence[Delivered]:
        """Return some messages, none if none come in time; raises UnreachableError once the connection is lost."""
        self.require_living()
        if (room := self._arrivals.room(most)) > 0:
            self._run(self._ask(room), _END_WITHIN_SECONDS)
        found = self._arrivals.take(most, seconds)
        self.require_living()
        return found

    def acknowledge(self, delivery: Delivered) -> None:
        """Let the stream's consumer forget a message; raises UnreachableError once the connection is lost."""
        self.require_living()
        self._run(self._acknowledge(delivery), _END_WITHIN_SECONDS)

    def require_living(self) -> None:
        """Raise UnreachableError once the connection is lost."""
        if (fault := self._arrivals.fault) is not None:
            raise UnreachableError(describe(fault)) from fault
        if self._is_lost():
            raise UnreachableError("the connection is lost")

    def close(self, left: Sequence[Delivered]) -> None:
        """Let others take what is left at once, and end the connection."""
        try:
            if not self._is_lost():
                self._run(self._give_back(), _END_WITHIN_SECONDS)
        finally:
            self._end()

    def _is_lost(self) -> bool:
        return bool(self._client.is_closed) or self._loop.is_cut

    def _run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, max(0.0, seconds)), self._loop)
        try:
            return future.result()
        except UnreachableError:
            raise
        except (self._address.library.errors.Error, OSError, asyncio.TimeoutError) as error:
            raise UnreachableError(describe(error)) from error

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.end(GIVEN_UP_WITHIN_SECONDS)

    # -- on the loop -----------------------------------------------------------------------------------------

    async def _open(self, durables: Durables, topics: Collection[str], deadline: float) -> None:
        library, url, settings, options = self._address
        ours = {"name": settings.connection_name, "error_cb": self._hear, "closed_cb": self._hear}
        given = {"ping_interval": _PING_SECONDS, **ours, **options}
        seconds = deadline - monotonic()
        await self._client.connect(url, connect_timeout=seconds, **ONCE, **given)
        if not self._loop.is_encrypted and (url.startswith("tls:") or options.get("tls") is not None):
            raise UnreachableError("the server offers no TLS, which is asked for")
        if settings.stream is not None:
            await JetStreamApi(library, self._client, settings.api_prefix).make(settings.stream, deadline - monotonic())
        streams = self._client.jetstream(prefix=settings.api_prefix, timeout=seconds)
        for topic in topics:
            durable = await durables.find(library, streams, topic)
            pull = Pull(self._client, settings.api_prefix, durable, self._receive)
            await pull.begin()
            self._pulls.append(pull)
        shortest = min(pull.durable.dead_after_seconds for pull in self._pulls)
        self._signs = self._loop.create_task(self._give_signs(shortest / _SIGNS))

    async def _ask(self, room: int) -> None:
        for pull in self._pulls:
            await pull.ask(max(1, room // len(self._pulls)))

    def _receive(self, topic: str, heard: Any) -> None:
        if isinstance(heard, BaseException):
            self._arrivals.end(heard)
            return
        delivery = delivery_of(topic, heard)
        is_new = delivery.place not in self._in_hand
        self._in_hand[delivery.place] = heard
        if is_new:
            self._arrivals.add(delivery)

    async def _acknowledge(self, delivery: Delivered) -> None:
        await self._in_hand.pop(delivery.place, delivery.handle).ack()

    async def _give_back(self) -> None:
        for pull in self._pulls:
            await pull.end()
        for message in self._in_hand.values():
            await message.nak()
        await self._client.flush(_END_WITHIN_SECONDS)

    async def _give_signs(self, seconds: float) -> None:
        """Tell that what is in hand is held by the living, also while a handler works for long."""
        while True:
            await asyncio.sleep(seconds)
            for message in list(self._in_hand.values()):
                with suppress(self._address.library.errors.Error, OSError):  # which the consumer's thread hears itself
                    await message.in_progress()

    async def _hear(self, error: BaseException | None = None) -> None:
        """Know that the connection has ended, or what a server says is wrong."""
        self._arrivals.end(error or UnreachableError("the connection is lost"))
