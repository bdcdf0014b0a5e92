"""A queue of tasks on topics of Kafka: one for each task type, and one for what workers tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncflow.errors import OptionError
from asyncflow.integrations.kafka import extras
from asyncflow.integrations.kafka.queueing.cluster import QueueCluster
from asyncflow.integrations.kafka.queueing.collecting import KafkaCollecting
from asyncflow.integrations.kafka.queueing.options import way_options
from asyncflow.integrations.kafka.queueing.sending import KafkaSending
from asyncflow.integrations.kafka.queueing.taking import KafkaTaking
from asyncflow.integrations.kafka.queueing.telling import KafkaTelling
from asyncflow.integrations.kafka.settings import KafkaSettings, server_list
from asyncflow.integrations.kafka.topic_names import fault_of
from asyncflow.outbox.options import require_whole, settings_given
from asyncflow.scheduler.task_queue import MOST_CREDITS, QueueNames
from asyncflow.text import require_text

MOST_PARTITIONS = 1000
LONGEST_NAMESPACE = 60  # a topic's name has 249 characters


class KafkaQueue:
    """Lead tasks to workers elsewhere, and what they tell back, by topics of Kafka.

    Given to schedulers as ``queues={name: KafkaQueue(servers)}``, and to workers; it holds nothing of a process. Each
    application, and each database, has a ``namespace`` of its own: the names of all topics and groups begin with it.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        credits: int = 1000,  # noqa: A002 - what they are called; the built-in is for people at a prompt
        namespace: str = "asyncflow",
        partitions: int = 12,
        settings: KafkaSettings | None = None,
        client_options: Mapping[str, object] | None = None,
    ) -> None:
        """Check the options and connect to nothing; raise OptionError, UnknownOptionError or MissingExtraError.

        ``credits`` is how many tasks of each type a scheduler has in the queue and at work at the most. ``partitions``
        are those of topics that are made where there are none: at the least as many as there will be workers.
        ``client_options`` are librdkafka's for the way to the brokers, such as ``ssl.ca.pem``, laid over ``settings``.
        """
        require_whole("credits", credits, 1, MOST_CREDITS)
        require_whole("partitions", partitions, 1, MOST_PARTITIONS)
        self.credits = credits
        self._namespace = require_text("namespace", namespace, LONGEST_NAMESPACE, OptionError)
        if fault := fault_of(namespace):
            raise OptionError(f"namespace is {namespace!r}, with which topics begin: {fault}")
        library = extras.confluent_kafka("KafkaQueue")
        servers, settings = server_list(bootstrap_servers), settings_given(settings, KafkaSettings)
        options = way_options(library, settings, client_options)
        self._cluster = QueueCluster(library, servers, settings, partitions, options)

    def sending(self, name: str) -> KafkaSending:
        """Return a line by which letters go to workers."""
        return KafkaSending(self._cluster, QueueNames(self._namespace, name))

    def collecting(self, name: str, member: str) -> KafkaCollecting:
        """Return a line by which notes come; which member it is matters to nobody here."""
        return KafkaCollecting(self._cluster, QueueNames(self._namespace, name))

    def taking(self, name: str) -> KafkaTaking:
        """Return a line by which letters come."""
        return KafkaTaking(self._cluster, QueueNames(self._namespace, name))

    def telling(self, name: str) -> KafkaTelling:
        """Return a line by which notes go back."""
        return KafkaTelling(self._cluster, QueueNames(self._namespace, name))
