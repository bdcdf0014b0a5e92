"""Turn settings and native options into librdkafka's configuration, and refuse what would weaken it."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from asyncflow.errors import OptionError, UnknownOptionError
from asyncflow.integrations.kafka.confluent.properties import PROPERTIES
from asyncflow.integrations.kafka.guard import Rule, between, never, only, refuse, refuse_open, value_told
from asyncflow.integrations.kafka.settings import KafkaSettings, KafkaTls
from asyncflow.outbox.options import FILE, TEXT, require_kinds

WHERE = "ConfluentKafkaPublisher"
# A topic that the brokers do not know is given this long to appear, since creating one takes them a moment.
TOPIC_APPEARS_WITHIN_SECONDS = 2.0

# librdkafka takes an empty one for none, and goes without log-in, or with other authorities than were meant.
KINDS = {
    **dict.fromkeys(("ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location"), FILE),
    **dict.fromkeys(("ssl.ca.pem", "ssl.certificate.pem", "ssl.key.pem", "ssl.key.password"), TEXT),
    **dict.fromkeys(("sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password", "security.protocol"), TEXT),
}

_ACKS = only("every in-sync replica has to confirm a record; leave it out", "all", -1)
_IDEMPOTENCE = only("retries inside the client would duplicate and reorder; leave it out", True)
_IN_FLIGHT = between("idempotence allows 1 to 5 requests in flight", 1, 5)
_RETRIES = between("idempotence needs retries; use delivery_timeout_seconds to bound them", 1)
_PARTITIONER = only("both clients must place a key alike; leave it out", "murmur2_random")
_REPORTS = never("the publisher reads the delivery reports itself; leave it out")
_SERVERS = never("give the servers as the first argument")
_TIMEOUT = never("use KafkaSettings(delivery_timeout_seconds=...)")
_COMPRESSION = never("use KafkaSettings(compression=...)")

RULES: Mapping[str, Rule] = {
    "acks": _ACKS,
    "request.required.acks": _ACKS,
    "enable.idempotence": _IDEMPOTENCE,
    "max.in.flight": _IN_FLIGHT,
    "max.in.flight.requests.per.connection": _IN_FLIGHT,
    "message.send.max.retries": _RETRIES,
    "retries": _RETRIES,
    "partitioner": _PARTITIONER,
    "bootstrap.servers": _SERVERS,
    "metadata.broker.list": _SERVERS,
    "client.id": never("use KafkaSettings(client_id=...)"),
    "delivery.timeout.ms": _TIMEOUT,
    "message.timeout.ms": _TIMEOUT,
    "compression.codec": _COMPRESSION,
    "compression.type": _COMPRESSION,
    "transactional.id": never("the outbox publishes without Kafka transactions; consumers use the inbox"),
    "delivery.report.only.error": _REPORTS,
    "dr_cb": _REPORTS,
    "dr_msg_cb": _REPORTS,
    "on_delivery": _REPORTS,
    "error_cb": never("the publisher listens for errors itself; the logger asyncflow.integrations.kafka tells"),
    "logger": never("set up the logger asyncflow.integrations.kafka instead"),
}


def configuration(
    library: ModuleType, servers: str, settings: KafkaSettings, client_options: Mapping[str, object]
) -> dict[str, object]:
    """Return the client's configuration; raise OptionError or UnknownOptionError for a bad native option."""
    refuse(WHERE, client_options, RULES)
    require_kinds(client_options, KINDS)
    for name, value in client_options.items():
        require_property(WHERE, library, name, value)
    refuse_open(WHERE, settings, client_options, ".")
    return {**_own(servers, settings), **security(settings), **client_options}


def _own(servers: str, settings: KafkaSettings) -> dict[str, object]:
    timeout_ms = round(settings.delivery_timeout_seconds * 1000)
    # The session takes its records back at the timeout, and knows why; librdkafka's own is only a safety net.
    safety_ms = timeout_ms + 5000
    return {
        "bootstrap.servers": servers,
        "client.id": settings.client_id,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "delivery.timeout.ms": safety_ms,
        "topic.metadata.propagation.max.ms": min(round(TOPIC_APPEARS_WITHIN_SECONDS * 1000), timeout_ms // 2),
        "reconnect.backoff.max.ms": 1000,
        "compression.type": settings.compression or "none",
        # A record without a report is known to be sent once the queue is empty: no call into Python for it.
        "delivery.report.only.error": True,
    }


def security(settings: KafkaSettings) -> dict[str, object]:
    """Return the options of encryption and log-in, which producers and consumers share."""
    options: dict[str, object] = {"security.protocol": settings.security_protocol}
    if settings.tls:
        options |= _tls(settings.tls)
    if settings.sasl:
        options["sasl.mechanism"] = settings.sasl.mechanism
        options["sasl.username"] = settings.sasl.username
        options["sasl.password"] = settings.sasl.password
    return options


def _tls(tls: KafkaTls) -> dict[str, object]:
    options = {
        "ssl.ca.location": tls.ca_file,
        "ssl.certificate.location": tls.certificate_file,
        "ssl.key.location": tls.key_file,
        "ssl.key.password": tls.key_password,
        "ssl.endpoint.identification.algorithm": "https" if tls.verify_host else "none",
    }
    return {name: value for name, value in options.items() if value is not None}


def require_property(where: str, library: ModuleType, name: str, value: object, kind: str = "Producer") -> None:
    """Let librdkafka judge one native option, without starting a client of that ``kind``; raise OptionError.

    It applies properties in order and stops at the first bad one, before any thread is started: a second
    property that cannot exist makes it stop in any case, and the complaint tells whether it got that far.
    """
    bait = "asyncflow.no.such.property"
    try:
        getattr(library, kind)({"group.id": "g", name: value, bait: ""})
    except library.KafkaException as error:
        complaint = str(error.args[0].str())
    except (TypeError, ValueError) as error:
        complaint = str(error)
    if bait in complaint:
        return
    if complaint.startswith("No such configuration property"):
        raise UnknownOptionError.among(where, [name], PROPERTIES)
    told = value_told(name, value)
    raise OptionError(f"{where}: client option {name}={told} is refused by librdkafka: {complaint}")
