"""What a consumer commits: what is done, of partitions that are its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from asyncflow.integrations.kafka.consuming.progress import Progress
from asyncflow.integrations.kafka.consuming.received import Partition, PartitionsLostError, Received

A, B = Partition("coupons", 0), Partition("coupons", 1)


class Broker:
    def __init__(self) -> None:
        self.committed: list[Mapping[Partition, int]] = []
        self.held: list[Any] = []
        self.fault: Exception | None = None

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        if self.fault is not None:
            raise self.fault
        self.committed.append(dict(offsets))

    def hold(self, partition: Partition, offset: int) -> None:
        self.held.append((partition, offset))

    def resume(self, partition: Partition) -> None:
        self.held.append(partition)


def received(partition: Partition, offset: int) -> Received:
    return Received(partition, offset, None, b"{}", {})


@pytest.fixture
def progress() -> Progress:
    progress = Progress()
    progress.assigned([A, B])
    return progress


def test_what_is_done_is_committed_once(progress: Progress) -> None:
    broker: Any = Broker()
    for offset in (4, 5):
        progress.done(received(A, offset))
    progress.commit(broker)
    progress.commit(broker)
    assert broker.committed == [{A: 6}]


def test_nothing_is_delivered_or_committed_of_a_partition_that_is_gone(progress: Progress) -> None:
    broker: Any = Broker()
    progress.done(received(A, 4))
    progress.done(received(B, 7))
    progress.forget([A])
    progress.commit(broker)
    assert broker.committed == [{B: 8}]
    assert not progress.takes(received(A, 5))
    assert progress.takes(received(B, 8))


def test_offsets_that_could_not_be_committed_are_kept_unless_the_partitions_are_lost(progress: Progress) -> None:
    broker: Any = Broker()
    progress.done(received(A, 4))
    broker.fault = OSError("away")
    with pytest.raises(OSError, match="away"):
        progress.commit(broker)
    broker.fault = None
    progress.commit(broker)
    progress.done(received(B, 4))
    broker.fault = PartitionsLostError("another's")
    progress.commit(broker)
    broker.fault = None
    progress.commit(broker)
    assert broker.committed == [{A: 5}]


def test_a_partition_waits_for_its_failed_message_and_counts_its_attempts(progress: Progress) -> None:
    broker: Any = Broker()
    failed = received(A, 4)
    assert [progress.begin(failed, "coupons") for _ in range(2)] == [1, 2]
    progress.refund(failed, "coupons")
    assert progress.begin(failed, "coupons") == 2
    progress.wait(broker, failed, 0.0)
    assert not progress.takes(received(A, 5))
    assert progress.takes(received(B, 5))
    progress.resume_due(broker)
    assert progress.takes(received(A, 4))
    assert broker.held == [(A, 4), A]
    progress.done(failed)
    assert progress.begin(failed, "coupons") == 1


def test_a_message_of_a_topic_that_is_made_anew_has_another_id_at_the_same_place() -> None:
    one, other = (Received(A, 0, None, b"{}", {}, written_at) for written_at in (1, 2))
    assert one.place == other.place
    assert one.id != other.id
    assert one._replace(headers={"message-id": b"m"}).id == other._replace(headers={"message-id": b"m"}).id
