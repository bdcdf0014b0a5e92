"""What a member of a group through confluent-kafka makes of what the library gives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from asyncflow.integrations.kafka.consuming import confluent_client
from asyncflow.integrations.kafka.consuming.confluent_client import ConfluentClient
from asyncflow.integrations.kafka.consuming.received import Membership, Rebalance
from asyncflow.integrations.kafka.settings import KafkaSettings


class Fatal:
    def fatal(self) -> bool:
        return True

    def code(self) -> int:
        return -150


class Given:
    """Be a message of the library."""

    def __init__(self, offset: int, error: Any = None) -> None:
        self._offset, self._error = offset, error

    def error(self) -> Any:
        return self._error

    def topic(self) -> str:
        return "coupons"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000

    def key(self) -> None: ...

    def value(self) -> bytes:
        return b"{}"

    def headers(self) -> None: ...


def test_an_error_within_a_batch_loses_none_of_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    error = Fatal()
    batches = [[Given(4), Given(-1, error), Given(5)], [Given(6)]]
    consumer = SimpleNamespace(subscribe=lambda *_, **__: None, consume=lambda *_: batches.pop(0))
    library = SimpleNamespace(
        Consumer=lambda _: consumer,
        KafkaError=SimpleNamespace(TOPIC_AUTHORIZATION_FAILED=29),
        KafkaException=RuntimeError,
    )
    monkeypatch.setattr(confluent_client, "confluent_kafka", lambda: library)
    deaf = Rebalance(*[lambda _: None] * 4)
    client = ConfluentClient(Membership("localhost:9092", "g", ["coupons"], KafkaSettings(), {}), deaf)
    assert [one.offset for one in client.poll(0.0)] == [4, 5]
    with pytest.raises(RuntimeError) as told:
        client.poll(0.0)
    assert told.value.args == (error,)
    assert [one.offset for one in client.poll(0.0)] == [6]
