"""Options that would break a promise are refused, mistyped ones are recognised, all others reach the client."""

from __future__ import annotations

import pytest

from asyncflow.errors import OptionError, UnknownOptionError
from asyncflow.integrations.kafka import KafkaSasl, KafkaSettings, KafkaTls
from asyncflow.integrations.kafka.confluent.options import RULES as CONFLUENT_RULES
from asyncflow.integrations.kafka.confluent.properties import PROPERTIES
from tests.integration.integrations.kafka.adapters import CONFLUENT, KAFKA_PYTHON, Adapter

confluent_kafka = pytest.importorskip("confluent_kafka")

SECURE = KafkaSettings(
    client_id="orders-relay",
    compression="gzip",
    tls=KafkaTls(ca_file="ca.pem", certificate_file="me.pem", key_file="me.key", key_password="k", verify_host=False),
    sasl=KafkaSasl(username="u", password="p", mechanism="SCRAM-SHA-512"),
)
SECURE_IN_KAFKA_PYTHON = {
    "client_id": "orders-relay",
    "compression_type": "gzip",
    "security_protocol": "SASL_SSL",
    "ssl_cafile": "ca.pem",
    "ssl_certfile": "me.pem",
    "ssl_keyfile": "me.key",
    "ssl_password": "k",
    "ssl_check_hostname": False,
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_plain_username": "u",
    "sasl_plain_password": "p",
}
SECURE_IN_LIBRDKAFKA = {
    "client.id": "orders-relay",
    "compression.type": "gzip",
    "security.protocol": "SASL_SSL",
    "ssl.ca.location": "ca.pem",
    "ssl.certificate.location": "me.pem",
    "ssl.key.location": "me.key",
    "ssl.key.password": "k",
    "ssl.endpoint.identification.algorithm": "none",
    "sasl.mechanism": "SCRAM-SHA-512",
    "sasl.username": "u",
    "sasl.password": "p",
}


@pytest.mark.parametrize(
    ("adapter", "name", "value"),
    [(adapter, name, value) for adapter in (KAFKA_PYTHON, CONFLUENT) for name, value in adapter.weakening.items()],
    ids=lambda value: str(getattr(value, "library", value)),
)
def test_an_option_that_weakens_a_promise_is_refused(adapter: Adapter, name: str, value: object) -> None:
    with pytest.raises(OptionError) as caught:
        adapter.publisher("localhost:9092", client_options={name: value})
    assert f"{name}={value!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("adapter", "options"),
    [
        (KAFKA_PYTHON, {"acks": "all", "enable_idempotence": True, "retries": 5}),
        (CONFLUENT, {"acks": -1, "enable.idempotence": "true", "max.in.flight": "5", "partitioner": "murmur2_random"}),
    ],
    ids=["kafka-python", "confluent-kafka"],
)
def test_stating_what_holds_anyway_is_allowed(adapter: Adapter, options: dict[str, object]) -> None:
    adapter.publisher("localhost:9092", client_options=options).close()


def test_a_mistyped_option_is_answered_with_the_right_one(adapter: Adapter) -> None:
    mistyped, right = adapter.mistyped
    with pytest.raises(UnknownOptionError, match=f"did you mean {right!r}"):
        adapter.publisher("localhost:9092", client_options={mistyped: "ca.pem"})


def test_a_value_that_librdkafka_does_not_understand_is_refused_by_name() -> None:
    with pytest.raises(OptionError, match=r"linger\.ms='soon'"):
        CONFLUENT.publisher("localhost:9092", client_options={"linger.ms": "soon"})


@pytest.mark.parametrize("name", sorted(PROPERTIES | CONFLUENT_RULES.keys() - {"dr_msg_cb", "logger"}))
def test_every_property_that_we_name_exists_in_librdkafka(name: str) -> None:
    with pytest.raises((confluent_kafka.KafkaException, TypeError, ValueError)) as caught:
        confluent_kafka.Producer({name: object(), "no.such.property": ""})
    assert f'No such configuration property: "{name}"' not in str(caught.value)


@pytest.mark.parametrize(
    ("adapter", "expected"),
    [(KAFKA_PYTHON, SECURE_IN_KAFKA_PYTHON), (CONFLUENT, SECURE_IN_LIBRDKAFKA)],
    ids=["kafka-python", "confluent-kafka"],
)
def test_each_setting_becomes_an_option_of_the_client(adapter: Adapter, expected: dict[str, object]) -> None:
    publisher = adapter.publisher("localhost:9092", SECURE)
    assert publisher._configuration.items() >= expected.items()


def test_native_options_are_laid_over_the_settings(adapter: Adapter) -> None:
    name = adapter.mistyped[1]
    publisher = adapter.publisher(
        "localhost:9092", KafkaSettings(tls=KafkaTls(ca_file="a.pem")), client_options={name: "b.pem"}
    )
    assert publisher._configuration[name] == "b.pem"


def test_passwords_are_not_shown() -> None:
    shown = repr(KafkaSettings(tls=KafkaTls(key_password="s3cret"), sasl=KafkaSasl(username="u", password="s3cret")))
    assert "s3cret" not in shown
