"""Task ids: unique, in the order of time, even over the shards."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from asyncflow.outbox.ids import SHARD_COUNT, new_id, shard_of


def test_an_id_is_a_version_7_uuid_of_the_standard_library() -> None:
    task_id = new_id()
    assert type(task_id) is uuid.UUID
    assert (task_id.version, task_id.variant) == (7, uuid.RFC_4122)


def test_an_id_begins_with_the_milliseconds_of_its_making() -> None:
    milliseconds = new_id().int >> 80
    assert abs(milliseconds - time.time_ns() // 1_000_000) < 60_000  # so far a clock may be set meanwhile


def test_later_ids_of_a_process_are_greater() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(ids)


def test_no_two_ids_of_several_threads_are_equal() -> None:
    with ThreadPoolExecutor(4) as threads:
        pages = list(threads.map(lambda _: [new_id() for _ in range(5000)], range(4)))
    assert len({task_id for page in pages for task_id in page}) == 20_000


def test_the_shard_is_the_id_modulo_the_count() -> None:
    task_id = uuid.UUID(int=7 * 64 + 5)
    assert shard_of(task_id, 64) == 5
    assert shard_of(task_id, 1) == 0


def test_shards_fill_evenly() -> None:
    counts = Counter(shard_of(new_id(), SHARD_COUNT) for _ in range(64_000))
    assert set(counts) == set(range(SHARD_COUNT))
    # The standard deviation is 31; six of them are beyond chance.
    assert all(abs(count - 1000) < 190 for count in counts.values())


def test_shards_fill_evenly_for_a_count_that_is_no_power_of_two() -> None:
    counts = Counter(shard_of(new_id(), 10) for _ in range(10_000))
    assert all(abs(counts[shard] - 1000) < 190 for shard in range(10))
