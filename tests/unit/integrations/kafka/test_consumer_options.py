"""Options of a consumer's client that would lose messages are refused, and those that it does not have."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine

from asyncflow import Inbox, Outbox
from asyncflow.errors import OptionError, UnknownOptionError
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.integrations.kafka.consuming.options import CONFLUENT_RULES, PYTHON_RULES
from asyncflow.integrations.kafka.guard import value_told

LIBRARIES = {"kafka-python": "kafka", "confluent-kafka": "confluent_kafka"}


def make(client: Any, **options: Any) -> Consumer:
    pytest.importorskip(LIBRARIES[client])
    place = (create_engine("sqlite://"), Outbox(MetaData()), Inbox(MetaData()))
    return Consumer(*place, "127.0.0.1:1", group="g", client=client, client_options=options)


def in_python(name: str) -> str:
    return name.replace(".", "_")


@pytest.mark.parametrize("name", sorted(PYTHON_RULES))
def test_an_option_that_would_lose_messages_or_is_another_ones_is_refused_by_kafka_python(name: str) -> None:
    with pytest.raises(OptionError, match=f"Consumer: client option {name}=True is refused"):
        make("kafka-python", **{name: True})


@pytest.mark.parametrize("name", sorted(CONFLUENT_RULES))
def test_an_option_that_would_lose_messages_or_is_another_ones_is_refused_by_librdkafka(name: str) -> None:
    with pytest.raises(OptionError, match=f"Consumer: client option {name}=True is refused"):
        make("confluent-kafka", **{name: True})


@pytest.mark.parametrize("client", LIBRARIES)
def test_what_holds_anyway_and_what_is_the_readers_to_choose_is_taken(client: str) -> None:
    options = {"enable.auto.commit": False, "auto.offset.reset": "latest", "isolation.level": "read_uncommitted"}
    make(client, **{name if client == "confluent-kafka" else in_python(name): one for name, one in options.items()})


@pytest.mark.parametrize(
    ("client", "name", "near"),
    [
        ("kafka-python", "session_timeout", "session_timeout_ms"),
        ("confluent-kafka", "ssl.ca.locaton", "ssl.ca.location"),
    ],
)
def test_a_mistyped_option_is_told_before_anything_runs(client: str, name: str, near: str) -> None:
    with pytest.raises(UnknownOptionError, match=f"did you mean '{near}'"):
        make(client, **{name: "1"})


def test_a_value_that_librdkafka_does_not_understand_is_told_and_no_secret_is() -> None:
    with pytest.raises(OptionError, match=r"fetch\.max\.bytes='soon' is refused by librdkafka"):
        make("confluent-kafka", **{"fetch.max.bytes": "soon"})
    assert value_told("sasl.oauthbearer.client.secret", "s3cret") == "..."
