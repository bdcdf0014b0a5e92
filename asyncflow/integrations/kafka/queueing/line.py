"""A line of a queue to Kafka: clients that are made by the first question, and anew after each failure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from asyncflow.errors import UnreachableError
from asyncflow.forks import keep_for_ever, leave_at_fork
from asyncflow.integrations.kafka.confluent.outcomes import describe
from asyncflow.integrations.kafka.queueing.cluster import QueueCluster
from asyncflow.integrations.kafka.queueing.topics import make_topic
from asyncflow.scheduler.task_queue import QueueNames

T = TypeVar("T")


class Endable(Protocol):
    """Be a client that can be ended."""

    def close(self) -> None:
        """End its threads and connections."""
        ...


C = TypeVar("C", bound=Endable)


class KafkaLine:
    """Ask one cluster, on one thread at a time; in the child of a fork it begins anew."""

    def __init__(self, cluster: QueueCluster, topics: QueueNames) -> None:
        self._cluster = cluster
        self._topics = topics
        self._admin_client: Any = None
        self._heard = ""  # from it
        self._clients: dict[str, Endable] = {}
        self._made: set[str] = set()
        leave_at_fork(self)

    def close(self) -> None:
        """Disconnect."""
        clients, self._clients = self._clients, {}
        self._admin_client = None
        self._made = set()
        for client in clients.values():
            with suppress(self._cluster.library.KafkaException, RuntimeError):
                client.close()

    def leave_to_parent(self) -> None:
        """Leave the clients to the parent, whose threads they have; librdkafka would wait for these here."""
        for client in (*self._clients.values(), self._admin_client):
            keep_for_ever(client)
        self._clients, self._admin_client, self._made = {}, None, set()

    def _ask(self, work: Callable[[], T]) -> T:
        """Return what ``work`` does with the clients; raises UnreachableError for what Kafka has against it."""
        place = f"Kafka at {self._cluster.servers}"
        try:
            return work()
        except self._cluster.library.KafkaException as error:
            trouble = self._trouble_of_admin()
            self.close()
            raise UnreachableError(f"{place}: {describe(error.args[0])}{trouble}") from error
        except UnreachableError as error:
            self.close()
            raise UnreachableError(f"{place}: {error}") from error

    def _admin(self) -> Any:
        if self._admin_client is None:
            self._heard = ""
            self._admin_client = self._cluster.admin(self._hear)
        return self._admin_client

    def _hear(self, error: Any) -> None:
        if error.name() != "_ALL_BROKERS_DOWN":  # which does not say why
            self._heard = describe(error)

    def _trouble_of_admin(self) -> str:
        """Return what the client that asks met beside, such as a certificate: its answers tell of the time alone."""
        if self._admin_client is not None:
            self._admin_client.poll(0)
        return f"; {self._heard}" if self._heard else ""

    def _client(self, name: str, make: Callable[[], C]) -> C:
        """Return the client of that name, which is made where there is none."""
        if name not in self._clients:
            self._clients[name] = make()
        return self._clients[name]  # type: ignore[return-value]  # who names it knows what it is

    def _require_topic(self, topic: str) -> None:
        """Make a topic that is not there; who asked before knows that it is."""
        if topic not in self._made:
            make_topic(self._cluster, self._admin(), topic, of_letters=topic != self._topics.notes)
            self._made.add(topic)
