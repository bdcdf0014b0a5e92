"""Settings that no client could use are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow.errors import OptionError
from asyncflow.integrations.kafka.settings import KafkaSasl, KafkaSettings, KafkaTls, server_list


@pytest.mark.parametrize("seconds", [0, -1, 0.5, 301, float("nan"), float("inf"), "10", None])
def test_a_timeout_out_of_range_is_refused(seconds: object) -> None:
    with pytest.raises(OptionError, match="delivery_timeout_seconds"):
        KafkaSettings(delivery_timeout_seconds=seconds)  # type: ignore[arg-type]


def test_an_unknown_compression_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"compression='brotli'.*gzip, lz4, snappy, zstd"):
        KafkaSettings(compression="brotli")


def test_an_unknown_mechanism_is_refused() -> None:
    with pytest.raises(OptionError, match="mechanism='GSSAPI'"):
        KafkaSasl(username="u", password="p", mechanism="GSSAPI")


@pytest.mark.parametrize(
    ("settings", "protocol"),
    [
        (KafkaSettings(), "PLAINTEXT"),
        (KafkaSettings(tls=KafkaTls()), "SSL"),
        (KafkaSettings(sasl=KafkaSasl(username="u", password="p")), "SASL_PLAINTEXT"),
        (KafkaSettings(tls=KafkaTls(), sasl=KafkaSasl(username="u", password="p")), "SASL_SSL"),
    ],
)
def test_the_protocol_follows_from_encryption_and_login(settings: KafkaSettings, protocol: str) -> None:
    assert settings.security_protocol == protocol


@pytest.mark.parametrize("servers", ["a:9092", "a:9092,b:9093", "a", "[::1]:9092", "SASL_SSL://a:9092"])
def test_servers_are_taken_as_text(servers: str) -> None:
    assert server_list(servers) == servers


def test_servers_are_taken_as_a_list() -> None:
    assert server_list(["a:9092", "b:9092"]) == "a:9092,b:9092"


@pytest.mark.parametrize("servers", ["", " ", [], "a:9092,", "a:port", "a:0", "a:70000", {"a:1": 1}])
def test_servers_that_are_none_are_refused(servers: Any) -> None:
    with pytest.raises(OptionError, match="bootstrap_servers"):
        server_list(servers)


@pytest.mark.parametrize("given", [True, {}, {"password": "s3cret"}], ids=["true", "empty", "a dict"])
@pytest.mark.parametrize("name", ["tls", "sasl"])
def test_what_is_no_settings_of_a_connection_is_refused_and_nothing_of_it_is_told(name: str, given: Any) -> None:
    with pytest.raises(OptionError, match=rf"^{name} is a .*; give Kafka") as refused:
        KafkaSettings(**{name: given})
    assert "s3cret" not in str(refused.value)
