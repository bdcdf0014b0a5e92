"""A queue on Kafka takes librdkafka's options of the way to the brokers, for all of its clients, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow.errors import OptionError, UnknownOptionError
from asyncflow.integrations.kafka import KafkaQueue, KafkaSettings, KafkaTls
from asyncflow.integrations.kafka.confluent.properties import PROPERTIES
from asyncflow.integrations.kafka.queueing.cluster import QueueCluster
from asyncflow.integrations.kafka.queueing.options import ELSEWHERE, WAY

confluent_kafka = pytest.importorskip("confluent_kafka")


class Recording:
    """Stand in for confluent_kafka: keep what each client is made with."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

    def Producer(self, options: dict[str, Any]) -> None:  # noqa: N802 - the library's name
        self.made.append(options)

    Consumer = Producer


def make(**options: Any) -> KafkaQueue:
    return KafkaQueue("127.0.0.1:1", client_options=options)


def test_each_client_of_a_queue_is_made_with_the_options_laid_over_the_settings() -> None:
    library: Any = Recording()
    settings = KafkaSettings(tls=KafkaTls(ca_file="a.pem"))
    cluster = QueueCluster(library, "127.0.0.1:1", settings, 1, {"ssl.ca.location": "b.pem", "client.rack": "r"})
    cluster.producer(1000, lambda _: None)
    cluster.consumer("g", 60, lambda _: None)
    assert [(one["ssl.ca.location"], one["client.rack"]) for one in library.made] == [("b.pem", "r")] * 2
    assert "b.pem" not in repr(cluster)


def test_the_options_of_the_way_are_taken() -> None:
    make(**{"socket.keepalive.enable": True, "reconnect.backoff.ms": 200, "client.dns.lookup": "use_all_dns_ips"})
    make(**{"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": lambda _: ("token", 1e12)})
    KafkaQueue("127.0.0.1:1", settings=KafkaSettings(tls=KafkaTls()), client_options={"ssl.ca.pem": "PEM"})


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_what_the_queue_decides_is_refused_with_where_it_belongs(name: str) -> None:
    with pytest.raises(UnknownOptionError) as refused:
        make(**{name: "1"})
    assert f"no option {name!r} ({ELSEWHERE[name]})" in str(refused.value)


def test_a_mistyped_option_is_answered_with_the_right_one() -> None:
    with pytest.raises(UnknownOptionError, match=r"did you mean 'ssl\.ca\.location'"):
        make(**{"ssl.ca.locaton": "ca.pem"})


def test_a_value_that_librdkafka_does_not_understand_is_refused_by_name() -> None:
    with pytest.raises(OptionError, match=r"KafkaQueue: client option socket\.timeout\.ms='soon'"):
        make(**{"socket.timeout.ms": "soon"})


def test_no_option_of_the_way_is_also_the_queues_own() -> None:
    assert not WAY & ELSEWHERE.keys()
    assert WAY <= PROPERTIES
