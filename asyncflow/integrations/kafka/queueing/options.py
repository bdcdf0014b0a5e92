"""What a queue takes of librdkafka's options: those of the way to the brokers, for all of its clients alike."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from asyncflow.integrations.kafka.confluent.options import KINDS, require_property
from asyncflow.integrations.kafka.confluent.properties import PROPERTIES
from asyncflow.integrations.kafka.guard import refuse_open
from asyncflow.integrations.kafka.settings import KafkaSettings
from asyncflow.outbox.options import options_given, refuse_unknown, require_kinds

WHERE = "KafkaQueue"
_OF_THE_WAY = (
    *("broker.address.", "broker.version.", "client.dns.", "log.connection.", "metadata.", "reconnect.", "security."),
    *("sasl.", "socket.", "ssl.", "enable.sasl.", "enable.ssl.", "topic.metadata.refresh."),
)
WAY = frozenset({"client.rack", "connections.max.idle.ms", "debug", "enable.metrics.push", "log_level", "oauth_cb"}) | {
    name for name in PROPERTIES if name.startswith(_OF_THE_WAY) and name != "metadata.broker.list"
}
_TIMEOUT = "use KafkaSettings(delivery_timeout_seconds=...)"
_COMPRESSION = "use KafkaSettings(compression=...)"
_OURS = "the queue decides that itself; leave it out"
# Where else a word that people know from Kafka belongs.
ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(PROPERTIES - WAY, _OURS),
    **dict.fromkeys(("auto.offset.reset", "enable.auto.commit", "max.poll.interval.ms", "session.timeout.ms"), _OURS),
    **dict.fromkeys(("bootstrap.servers", "metadata.broker.list"), "give the servers as the first argument"),
    **dict.fromkeys(("delivery.timeout.ms", "message.timeout.ms"), _TIMEOUT),
    **dict.fromkeys(("compression.codec", "compression.type"), _COMPRESSION),
    "client.id": "use KafkaSettings(client_id=...)",
    "group.id": "use namespace, with which its name begins",
}


def way_options(library: ModuleType, settings: KafkaSettings, given: object) -> dict[str, object]:
    """Return the options that were given; raise OptionError or UnknownOptionError for one at fault."""
    options = options_given(given)
    refuse_unknown(f"{WHERE}(client_options=...)", options, WAY, ELSEWHERE)
    require_kinds(options, KINDS)
    for name, value in options.items():
        require_property(WHERE, library, name, value)
    refuse_open(WHERE, settings, options, ".")
    return options
