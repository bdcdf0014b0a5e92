"""The core knows no broker: what one takes, its publisher tells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_import_law import ROOT

BROKERS = re.compile(
    r"kafka|confluent|redpanda|rabbit|amqp|rocketmq|pulsar|activemq|artemis|\bnats\b|jetstream|kinesis|\bsqs\b|\bsns\b|"
    r"pubsub|mqtt|event.?hub|service.?bus\b",
    re.IGNORECASE,
)

# Lines of the core that may name a broker, each with its reason.
ALLOWED = {
    ("outbox/outbox.py", 'default_destination: str = "kafka",'): "a name like any other, kept for who relies on it",
}


def named(core: Path) -> Iterator[tuple[str, str]]:
    for line in core.read_text(encoding="utf-8").splitlines():
        if BROKERS.search(line):
            yield str(core.relative_to(ROOT)), line.strip()


def test_no_module_of_the_core_names_a_broker() -> None:
    core = [
        path
        for room in ("consuming", "events", "outbox", "scheduler", "testing")
        for path in (ROOT / room).rglob("*.py")
    ]
    doors = [ROOT / f"{name}.py" for name in ("__init__", "errors", "text", "event_log", "sentences")]
    assert len(core) > 100
    assert {found for path in (*core, *doors) for found in named(path)} == set(ALLOWED)


@pytest.mark.parametrize("name", ["KAFKA_LIMIT", "librdkafka", "RabbitMQ", "a NATS server", "AMQP", "rocketmq"])
def test_a_broker_s_name_is_seen_in_words_and_in_names(name: str) -> None:
    assert BROKERS.search(name)
