"""Letters go to where the fewest wait, and to no partition without a leader."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from asyncflow.errors import UnreachableError
from asyncflow.integrations.kafka.queueing import spread as spread_module
from asyncflow.integrations.kafka.queueing.spread import Spread

TOPIC = "asyncflow.workers.tasks.issue"


class Place(NamedTuple):
    topic: str
    partition: int


class Brokers:
    """Be an admin client, and one of the group.

    They know where partitions end, None for one without a leader, and what the group has taken. All begin at 5.
    """

    def __init__(self, ends: dict[int, int | None], taken: dict[int, int]) -> None:
        self.ends, self.taken = ends, taken

    def list_topics(self, topic: str, _: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=self.ends)})

    def list_offsets(self, wanted: dict[Place, Any], **_: Any) -> dict[Place, Future[Any]]:
        return {
            place: told(5 if which == "earliest" and self.ends[place.partition] else self.ends[place.partition])
            for place, which in wanted.items()
        }

    def committed(self, wanted: list[Place], _: float) -> list[Any]:
        offsets = {one.partition: self.taken.get(one.partition, -1001) for one in wanted}
        return [SimpleNamespace(partition=one, offset=offset, error=None) for one, offset in offsets.items()]


def told(end: int | None) -> Future[Any]:
    answer: Future[Any] = Future()
    if end is None:
        answer.set_exception(OSError("it has no leader"))
    else:
        answer.set_result(SimpleNamespace(offset=end))
    return answer


def spread_over(ends: dict[int, int | None], taken: dict[int, int], seconds: float = 60.0) -> Spread:
    library, brokers = SimpleNamespace(TopicPartition=Place), Brokers(ends, taken)
    admin_library = SimpleNamespace(OffsetSpec=SimpleNamespace(latest=lambda: "latest", earliest=lambda: "earliest"))
    cluster: Any = SimpleNamespace(
        library=library, admin_library=admin_library, timeout_seconds=seconds, onlooker=lambda _: brokers
    )
    return Spread(cluster, brokers, TOPIC)


def places(spread: Spread, count: int) -> Counter[int]:
    return Counter(spread.place() for _ in range(count))


def test_each_letter_goes_to_where_the_fewest_wait() -> None:
    assert places(spread_over({0: 100, 1: 50, 2: 7}, {0: 100, 1: 46, 2: 1}), 6) == {0: 5, 1: 1}


def test_of_a_partition_of_which_nobody_has_taken_anything_all_waits() -> None:
    assert places(spread_over({0: 9, 1: 5, 2: 20}, {2: 18}), 9) == {0: 1, 1: 5, 2: 3}


def test_what_others_send_is_seen_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_module, "_LOOK_SECONDS", 0.0)
    ends: dict[int, int | None] = {0: 20, 1: 20}
    spread = spread_over(ends, {0: 20, 1: 20})
    spread.place()
    ends[0] = 23
    assert places(spread, 4) == {1: 4}


def test_a_partition_without_a_leader_takes_no_letter() -> None:
    assert places(spread_over({0: None, 1: 9, 2: 9}, {1: 0, 2: 0}), 4) == {1: 2, 2: 2}


def test_where_no_partition_has_a_leader_it_is_told() -> None:
    with pytest.raises(UnreachableError, match=f"no partition of the topic '{TOPIC}' has a leader"):
        spread_over({0: None}, {}, seconds=0.01).place()
