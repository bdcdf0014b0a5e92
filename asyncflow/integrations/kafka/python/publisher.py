"""Publish through kafka-python, which is plain Python and installs anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncflow.errors import UnreachableError
from asyncflow.integrations.kafka import extras
from asyncflow.integrations.kafka.python.options import configuration
from asyncflow.integrations.kafka.python.outcomes import describe
from asyncflow.integrations.kafka.python.session import PythonSession
from asyncflow.integrations.kafka.reach import reach_any
from asyncflow.integrations.kafka.settings import KafkaSettings, server_list
from asyncflow.integrations.kafka.topic_names import fault_of
from asyncflow.outbox.options import options_given, settings_given
from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.scheduler.publishing.sessions.link import Link


class KafkaPublisher:
    """Publish records to one broker cluster of Kafka; live as long as the scheduler that was given it.

    The client is made by the first ``publish``, and anew after each failure that leaves it in doubt, so
    neither an unreachable broker nor a fork does harm: the child of a fork makes a client of its own.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        settings: KafkaSettings | None = None,
        *,
        client_options: Mapping[str, object] | None = None,
    ) -> None:
        """Check the options and connect to nothing; raise OptionError, UnknownOptionError or MissingExtraError.

        ``client_options`` are those of ``kafka.KafkaProducer``, laid over what ``settings`` say; the ones
        that would weaken acks=all, idempotence or the placing of keys are refused.
        """
        settings = settings_given(settings, KafkaSettings)
        self._library = extras.kafka_python()
        self._servers = server_list(bootstrap_servers)
        self._configuration = configuration(self._library, self._servers, settings, options_given(client_options))
        self._absent_topics: dict[str, float] = {}
        self._link = Link(self._connect, settings.delivery_timeout_seconds)

    system = "kafka"
    keeps_key_order = True  # one partition a key, and idempotence

    def topic_fault(self, topic: str) -> str | None:
        """Return why Kafka takes no topic of this name, or None."""
        return fault_of(topic)

    @property
    def max_record_bytes(self) -> int:
        """Return the client's ``max_request_size``."""
        default = self._library.KafkaProducer.DEFAULT_CONFIG["max_request_size"]
        return int(self._configuration.get("max_request_size", default))  # type: ignore[call-overload,no-any-return]

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Send the records and return one outcome for each, in order, within about ``delivery_timeout_seconds``.

        A record whose acknowledgement was lost is Unavailable and may be in the topic all the same.
        """
        return self._link.publish(batch)

    def close(self) -> None:
        """End the client's thread and sockets; further publishing is Unavailable. May be called twice."""
        self._link.close()

    def _connect(self, deadline: float) -> PythonSession:
        try:
            if not (self._configuration.get("proxy_url") or self._configuration.get("socks5_proxy")):
                reach_any(self._library.cluster.collect_hosts(self._servers), deadline)
            return PythonSession(self._library, self._configuration, self._absent_topics)
        except OSError as error:
            raise UnreachableError(describe(error)) from error
        except Exception as error:  # for a bad value of an option the client raises anything
            hint = "check tls, sasl and client_options; the logger 'kafka' tells more"
            raise UnreachableError(f"{describe(error)} ({hint})") from error
