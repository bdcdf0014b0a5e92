"""The consumer: a loop over a broker's messages, their subscribers, and the offsets behind them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Engine

from asyncflow.consuming.consumer import BaseConsumer
from asyncflow.consuming.subscribers import LOOP, Subscribers
from asyncflow.errors import OptionError
from asyncflow.events import Hook, MissingTopicSeen, StepFailed
from asyncflow.forks import keep_for_ever
from asyncflow.integrations.kafka.consuming.confluent_client import ConfluentClient
from asyncflow.integrations.kafka.consuming.options import consumer_options
from asyncflow.integrations.kafka.consuming.progress import Progress
from asyncflow.integrations.kafka.consuming.python_client import PythonClient
from asyncflow.integrations.kafka.consuming.received import BrokerClient, Membership, Partition, Rebalance, Received
from asyncflow.integrations.kafka.settings import KafkaSettings, server_list
from asyncflow.outbox import Inbox, Outbox
from asyncflow.outbox.options import settings_given
from asyncflow.text import require_text, shown

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

CLIENTS: Mapping[str, Callable[..., BrokerClient]] = {"kafka-python": PythonClient, "confluent-kafka": ConfluentClient}
_POLL_SECONDS = 0.5


class Consumer(BaseConsumer):
    """Take messages of a consumer group, and let each take effect once for each subscriber; lives until ``stop``.

    In the child of a fork it is a member of its own; one that the parent has begun with is the parent's alone.

    A subscriber's effect, the inbox's memory of the message and what the handler enqueues commit together; the offset
    is committed behind them. What fails is tried again, and its partition waits for it; after ``max_retries`` it is a
    dead letter of ``outbox``, and the partition goes on. Subscribers are task types of ``outbox`` as well, so a
    scheduler does what an operator replays.

    With an AsyncEngine subscribers are coroutines, awaited on the loop that awaits ``run_async``. ``client`` names the
    library; ``settings`` and ``client_options`` are as for its publisher.
    """

    def __init__(
        self,
        engine: Engine | AsyncEngine,
        outbox: Outbox,
        inbox: Inbox,
        bootstrap_servers: str,
        *,
        group: str,
        client: Literal["kafka-python", "confluent-kafka"] = "kafka-python",
        settings: KafkaSettings | None = None,
        client_options: Mapping[str, Any] | None = None,
        hooks: Iterable[Hook] = (),
    ) -> None:
        """Check the options and connect to nothing; raise OptionError, UnknownOptionError or MissingExtraError."""
        if client not in CLIENTS:
            raise OptionError(f"client is {shown(client)}; give one of {', '.join(CLIENTS)}")
        self._servers = server_list(bootstrap_servers)
        self._group = require_text("group", group, 255, OptionError)
        self._make, self._settings = CLIENTS[client], settings_given(settings, KafkaSettings)
        self._client_options = consumer_options(client, self._settings, client_options)
        super().__init__(engine, outbox, inbox, hooks)

    def _make_own(self) -> None:
        """Make what belongs to one process, the membership of the group among it."""
        self._client: BrokerClient | None = None
        self._progress = Progress()
        self._missed: set[str] = set()
        super()._make_own()

    def _keep_the_parents(self) -> None:
        if self._client is not None:
            keep_for_ever(self._client)

    def _step(self, subscribers: Subscribers) -> None:
        client, progress = self._joined(), self._progress
        progress.resume_due(client)
        messages = client.poll(progress.seconds_until_due(_POLL_SECONDS))
        for number, message in enumerate(messages):
            if self._stopping.is_set():
                break
            try:
                self._take(subscribers, client, message)
            except Exception:
                self._put_back(client, messages[number:])
                raise
        progress.commit(client)

    def _take(self, subscribers: Subscribers, client: BrokerClient, message: Received) -> None:
        if self._progress.takes(message):
            pause = subscribers.deliver(message, self._progress)
            if pause is None:
                self._progress.done(message)
            else:
                self._progress.wait(client, message, pause.seconds)

    def _put_back(self, client: BrokerClient, messages: Sequence[Received]) -> None:
        """Let messages that were not delivered come again: the client's positions are behind them already."""
        try:
            for message in messages:
                if self._progress.takes(message):
                    self._progress.wait(client, message, 0.0)
        except Exception as error:  # noqa: BLE001 - another client begins at what is committed
            self.hooks.emit(StepFailed(LOOP, error, 0.0))
            self._leave()

    def _joined(self) -> BrokerClient:
        """Return the client, which is made where there is none."""
        if self._client is None:
            topics = {one.topic for one in self.subscriptions}
            rebalance = Rebalance(self._progress.assigned, self._revoked, self._lost, self._missing)
            membership = Membership(self._servers, self._group, topics, self._settings, self._client_options)
            self._client = self._make(membership, rebalance)
        return self._client

    def _revoked(self, partitions: Collection[Partition]) -> None:
        """Commit what is done of partitions that go to others, and know no more of them."""
        try:
            if self._client is not None:
                self._progress.commit(self._client, partitions)
        except Exception as error:  # noqa: BLE001 - their next owner finds in the inbox what is done
            self.hooks.emit(StepFailed(LOOP, error, 0.0))
        finally:
            self._lost(partitions)

    def _lost(self, partitions: Collection[Partition]) -> None:
        """Know no more of partitions that are gone; a client keeps those waiting that come back to it."""
        if self._client is None:
            self._progress.forget(partitions)
        else:
            self._progress.let_go(self._client, partitions)

    def _missing(self, topics: Collection[str]) -> None:
        """Tell once of each topic that is not there: a name that is mistyped brings nothing, and no error either."""
        for topic in sorted(set(topics) - self._missed):
            self.hooks.emit(MissingTopicSeen(topic))
        self._missed.update(topics)

    def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # the inbox knows what is done
                self._progress.commit(client)
            self._progress = Progress()
            client.close()
