"""Publish through confluent-kafka, the binding of librdkafka: the fast way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncflow.errors import UnreachableError
from asyncflow.integrations.kafka import extras
from asyncflow.integrations.kafka.confluent.options import configuration
from asyncflow.integrations.kafka.confluent.outcomes import judge
from asyncflow.integrations.kafka.confluent.session import ConfluentSession
from asyncflow.integrations.kafka.settings import KafkaSettings, server_list
from asyncflow.integrations.kafka.topic_names import fault_of
from asyncflow.outbox.options import options_given, settings_given
from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.scheduler.publishing.sessions.link import Link

_MESSAGE_MAX_BYTES = 1_000_000  # librdkafka's default


class ConfluentKafkaPublisher:
    """Publish records to one broker cluster of Kafka; live as long as the scheduler that was given it.

    The client is made by the first ``publish``, and anew after each failure that leaves it in doubt, so
    neither an unreachable broker nor a fork does harm: the child of a fork makes a client of its own. The
    client's own log goes to the logger ``asyncflow.integrations.kafka``.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        settings: KafkaSettings | None = None,
        *,
        client_options: Mapping[str, object] | None = None,
    ) -> None:
        """Check the options and connect to nothing; raise OptionError, UnknownOptionError or MissingExtraError.

        ``client_options`` are librdkafka's, laid over what ``settings`` say; the ones that would weaken
        acks=all, idempotence or the placing of keys are refused.
        """
        settings = settings_given(settings, KafkaSettings)
        self._library = extras.confluent_kafka()
        servers = server_list(bootstrap_servers)
        self._configuration = configuration(self._library, servers, settings, options_given(client_options))
        self._link = Link(self._connect, settings.delivery_timeout_seconds)

    system = "kafka"
    keeps_key_order = True  # one partition a key, and idempotence

    def topic_fault(self, topic: str) -> str | None:
        """Return why Kafka takes no topic of this name, or None."""
        return fault_of(topic)

    @property
    def max_record_bytes(self) -> int:
        """Return librdkafka's ``message.max.bytes``."""
        return int(str(self._configuration.get("message.max.bytes", _MESSAGE_MAX_BYTES)))

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Send the records and return one outcome for each, in order, within about ``delivery_timeout_seconds``.

        A record whose acknowledgement was lost is Unavailable and may be in the topic all the same.
        """
        return self._link.publish(batch)

    def close(self) -> None:
        """End the client's threads and sockets; further publishing is Unavailable. May be called twice."""
        self._link.close()

    def _connect(self, _deadline: float) -> ConfluentSession:
        try:
            return ConfluentSession(self._library, self._configuration)
        except self._library.KafkaException as error:
            raise UnreachableError(judge(error.args[0]).error) from error
