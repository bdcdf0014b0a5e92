"""What a consumer takes of its client's options: none that would lose messages, or that another option has."""

from __future__ import annotations

from collections.abc import Mapping

from asyncflow.integrations.kafka import extras
from asyncflow.integrations.kafka.confluent.options import KINDS as CONFLUENT_KINDS
from asyncflow.integrations.kafka.confluent.options import require_property
from asyncflow.integrations.kafka.guard import Rule, never, only, refuse, refuse_open
from asyncflow.integrations.kafka.python.options import KINDS as PYTHON_KINDS
from asyncflow.integrations.kafka.settings import KafkaSettings
from asyncflow.outbox.options import options_given, refuse_unknown, require_kinds

WHERE = "Consumer"
_COMMIT = only("offsets follow the effects of their messages; a client's own commits would lose some", False)
_SERVERS = never("give the servers by bootstrap_servers=")
_GROUP = never("use group=")
_NAME = never("use KafkaSettings(client_id=...)")
_BYTES = never("subscribers are handed what a message holds; leave it out")
_OURS = never("the consumer makes it itself; leave it out")

PYTHON_RULES: Mapping[str, Rule] = {
    "bootstrap_servers": _SERVERS,
    "client_id": _NAME,
    "enable_auto_commit": _COMMIT,
    "group_id": _GROUP,
    "kafka_client": _OURS,
    "key_deserializer": _BYTES,
    "value_deserializer": _BYTES,
}
CONFLUENT_RULES: Mapping[str, Rule] = {
    "bootstrap.servers": _SERVERS,
    "client.id": _NAME,
    "enable.auto.commit": _COMMIT,
    "enable.auto.offset.store": _COMMIT,
    "group.id": _GROUP,
    "metadata.broker.list": _SERVERS,
}


def consumer_options(client: str, settings: KafkaSettings, given: object) -> dict[str, object]:
    """Return the options that were given for a client; raise OptionError, UnknownOptionError or MissingExtraError."""
    options = options_given(given)
    if client == "confluent-kafka":
        library = extras.confluent_kafka(WHERE)
        refuse(WHERE, options, CONFLUENT_RULES)
        require_kinds(options, CONFLUENT_KINDS)
        for name, value in options.items():
            require_property(WHERE, library, name, value, "Consumer")
        refuse_open(WHERE, settings, options, ".")
    else:
        refuse(WHERE, options, PYTHON_RULES)
        refuse_unknown(WHERE, options, extras.kafka_python(WHERE).KafkaConsumer.DEFAULT_CONFIG)
        require_kinds(options, PYTHON_KINDS)
        refuse_open(WHERE, settings, options, "_")
    return options
