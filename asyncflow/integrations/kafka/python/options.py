"""Turn settings and native options into kafka-python's configuration, and refuse what would weaken it."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from asyncflow.errors import MissingExtraError
from asyncflow.integrations.kafka.guard import Rule, between, never, only, refuse, refuse_open
from asyncflow.integrations.kafka.settings import KafkaSettings, KafkaTls
from asyncflow.outbox.options import FILE, FLAG, TEXT, refuse_unknown, require_kinds

WHERE = "KafkaPublisher"
# A topic that the brokers do not know is given this long to appear, since creating one takes them a moment.
TOPIC_APPEARS_WITHIN_SECONDS = 2.0
# Records of one publish() wait for each other no longer than this, and for nothing once all are handed over.
# Together with large batches it keeps the client's thread from competing for the interpreter: 13,000 to
# 19,000 records/s, and 31,000 to 51,000 with the C library crc32c.
LINGER_SECONDS = 0.1
BATCH_BYTES = 256 * 1024

# kafka-python takes an empty one for none, and goes without log-in, or with other authorities than were meant.
KINDS = {
    **dict.fromkeys(("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"), FILE),
    **dict.fromkeys(("sasl_mechanism", "sasl_plain_username", "sasl_plain_password", "security_protocol"), TEXT),
    "ssl_password": TEXT,
    "ssl_check_hostname": FLAG,
}

_TIMEOUT = never("use KafkaSettings(delivery_timeout_seconds=...)")
_BYTES = never("the outbox hands over bytes; leave it out")

RULES: Mapping[str, Rule] = {
    "acks": only("every in-sync replica has to confirm a record; leave it out", "all", -1),
    "enable_idempotence": only("retries inside the client would duplicate and reorder; leave it out", True),
    "max_in_flight_requests_per_connection": between("idempotence allows 1 to 5 requests in flight", 1, 5),
    "retries": between("idempotence needs retries; use delivery_timeout_seconds to bound them", 1),
    "partitioner": never("both clients must place a key alike; leave it out"),
    "bootstrap_servers": never("give the servers as the first argument"),
    "client_id": never("use KafkaSettings(client_id=...)"),
    "delivery_timeout_ms": _TIMEOUT,
    "bootstrap_timeout_ms": _TIMEOUT,
    "max_block_ms": _TIMEOUT,
    "compression_type": never("use KafkaSettings(compression=...)"),
    "transactional_id": never("the outbox publishes without Kafka transactions; consumers use the inbox"),
    "key_serializer": _BYTES,
    "value_serializer": _BYTES,
    "kafka_client": never("the publisher makes the network client itself; leave it out"),
}


def configuration(
    library: ModuleType, servers: str, settings: KafkaSettings, client_options: Mapping[str, object]
) -> dict[str, object]:
    """Return the client's configuration; raise OptionError or UnknownOptionError for a bad native option."""
    refuse(WHERE, client_options, RULES)
    refuse_unknown(WHERE, client_options, library.KafkaProducer.DEFAULT_CONFIG)
    require_kinds(client_options, KINDS)
    refuse_open(WHERE, settings, client_options, "_")
    _check_codec(library, settings.compression)
    return {**_own(servers, settings), **security(settings), **client_options}


def _check_codec(library: ModuleType, compression: str | None) -> None:
    if compression and not getattr(library.codec, f"has_{compression}")():
        line = f'pip install "kafka-python[{compression}]"'
        raise MissingExtraError(f"{WHERE}: compression={compression!r} needs a library that is not installed: {line}")


def _own(servers: str, settings: KafkaSettings) -> dict[str, object]:
    timeout_ms = round(settings.delivery_timeout_seconds * 1000)
    linger_ms = round(LINGER_SECONDS * 1000)
    return {
        "bootstrap_servers": servers,
        "client_id": settings.client_id,
        "acks": "all",
        "enable_idempotence": True,
        "delivery_timeout_ms": timeout_ms,
        "bootstrap_timeout_ms": timeout_ms,
        "request_timeout_ms": timeout_ms - linger_ms,
        "max_block_ms": min(round(TOPIC_APPEARS_WITHIN_SECONDS * 1000), timeout_ms // 2),
        "linger_ms": linger_ms,
        "batch_size": BATCH_BYTES,
        "compression_type": settings.compression,
        "metrics_enabled": False,
    }


def security(settings: KafkaSettings) -> dict[str, object]:
    """Return the options of encryption and log-in, which producers and consumers share."""
    options: dict[str, object] = {"security_protocol": settings.security_protocol}
    if settings.tls:
        options |= _tls(settings.tls)
    if settings.sasl:
        options["sasl_mechanism"] = settings.sasl.mechanism
        options["sasl_plain_username"] = settings.sasl.username
        options["sasl_plain_password"] = settings.sasl.password
    return options


def _tls(tls: KafkaTls) -> dict[str, object]:
    return {
        "ssl_cafile": tls.ca_file,
        "ssl_certfile": tls.certificate_file,
        "ssl_keyfile": tls.key_file,
        "ssl_password": tls.key_password,
        "ssl_check_hostname": tls.verify_host,
    }
