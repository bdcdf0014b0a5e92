"""What kafka-python leaves unsaid to a member of a group, its client says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from asyncflow.integrations.kafka.consuming import python_client
from asyncflow.integrations.kafka.consuming.python_client import PythonClient
from asyncflow.integrations.kafka.consuming.received import Membership, Rebalance
from asyncflow.integrations.kafka.settings import KafkaSettings


def client_of(monkeypatch: pytest.MonkeyPatch, assigned: list[str], there: set[str], told: list[set[str]]) -> Any:
    """Return a client that is a member for ``coupons`` and ``orders``, of a broker that has the topics ``there``."""
    member = SimpleNamespace(
        subscribe=lambda **_: None,
        poll=lambda **_: {},
        assignment=lambda: [SimpleNamespace(topic=topic) for topic in assigned],
        topics=lambda: there,
    )
    library = SimpleNamespace(KafkaConsumer=lambda **_: member, ConsumerRebalanceListener=object)
    monkeypatch.setattr(python_client, "kafka_python", lambda: library)
    monkeypatch.setattr(python_client, "_LOOK_SECONDS", 0.0)
    rebalance = Rebalance(lambda _: None, lambda _: None, lambda _: None, lambda topics: told.append(set(topics)))
    return PythonClient(Membership("localhost:9092", "g", ["coupons", "orders"], KafkaSettings(), {}), rebalance)


@pytest.mark.parametrize(
    ("assigned", "there", "missing"),
    [
        (["coupons"], {"coupons"}, [{"orders"}]),
        (["coupons"], {"coupons", "orders"}, [set()]),
        (["coupons", "orders"], set(), []),
    ],
    ids=["one is missing", "others have its partitions", "both are ours"],
)
def test_topics_that_are_not_there_are_told(
    monkeypatch: pytest.MonkeyPatch, assigned: list[str], there: set[str], missing: list[set[str]]
) -> None:
    told: list[set[str]] = []
    client_of(monkeypatch, assigned, there, told).poll(0.0)
    assert told == missing
