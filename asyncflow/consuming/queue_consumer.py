"""A consumer of a broker that acknowledges single messages: what it holds, what it tries again, what it gives back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from asyncflow.consuming import consumer
from asyncflow.consuming.delivered import QueueClient
from asyncflow.consuming.growing_pause import GrowingPause
from asyncflow.consuming.subscribers import LOOP, Subscribers
from asyncflow.consuming.window import Window
from asyncflow.events import Hook, StepFailed
from asyncflow.forks import keep_for_ever
from asyncflow.outbox import Inbox, Outbox
from asyncflow.outbox.options import require_whole

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

MOST_PREFETCHED = 10_000
_POLL_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0


class QueueConsumer(consumer.BaseConsumer):
    """Deliver what a client of queues takes, and acknowledge each message behind its effect.

    ``prefetch`` bounds how many messages are this consumer's at a time, those that wait for another attempt among them.
    The loop's thread alone has the client; in each process it is another.
    """

    def __init__(
        self, engine: Engine | AsyncEngine, outbox: Outbox, inbox: Inbox, hooks: Iterable[Hook], prefetch: int
    ) -> None:
        require_whole("prefetch", prefetch, 1, MOST_PREFETCHED)
        self._prefetch = prefetch
        super().__init__(engine, outbox, inbox, hooks)

    @abstractmethod
    def _connect(self, topics: Collection[str]) -> QueueClient:
        """Return a client of these topics; what it raises is trouble of the broker's."""

    def _make_own(self) -> None:
        self._client: QueueClient | None = None
        self._window = Window()
        self._pause = GrowingPause(consumer.PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        super()._make_own()

    def _keep_the_parents(self) -> None:
        if self._client is not None:
            keep_for_ever(self._client)

    def _pause_seconds(self) -> float:
        return self._pause.take()

    def _step(self, subscribers: Subscribers) -> None:
        try:
            self._take(subscribers)
        except Exception:
            self._leave()
            raise

    def _take(self, subscribers: Subscribers) -> None:
        client, window = self._joined(), self._window
        seconds, room = window.seconds_until_due(_POLL_SECONDS), self._prefetch - len(window)
        if room > 0:
            window.add(client.take(room, seconds))
        else:
            self._stopping.wait(seconds)
            client.require_living()
        if not len(window):
            self._pause.begin_anew()
        self._deliver(subscribers, client)

    def _deliver(self, subscribers: Subscribers, client: QueueClient) -> None:
        window = self._window
        for _ in range(len(window)):  # so that one which is due again at once keeps nobody from coming
            message = window.next_due()
            if message is None or self._stopping.is_set():
                return
            again = subscribers.deliver(message, window)
            if again is None:
                client.acknowledge(message)
                window.done(message)
            else:
                # After trouble of the database others come first: it may be a lock that this one alone waits for.
                window.wait(message, 2 * again.seconds if again.is_trouble else again.seconds)
                if again.is_trouble:
                    self._stopping.wait(again.seconds)
                    return
            self._pause.begin_anew()

    def _joined(self) -> QueueClient:
        """Return the client, which is made where there is none."""
        if self._client is None:
            self._client = self._connect(sorted({one.topic for one in self.subscriptions}))
        return self._client

    def _leave(self) -> None:
        client, self._client = self._client, None
        window, self._window = self._window, self._window.anew()
        if client is not None:
            try:
                client.close(window.left())
            except Exception as error:  # noqa: BLE001 - the broker gives it to others by itself, if later
                self.hooks.emit(StepFailed(LOOP, error, 0.0))
