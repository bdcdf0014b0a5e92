"""Types are read whole where their lanes are read together."""

from __future__ import annotations

import pytest

from asyncflow.scheduler.heads.whole_types import read_whole_types, reads_whole_types
from tests.integration.outbox.dialects.store import Statements, Store

NAMES = [f"t{number}" for number in range(5)]


def fill(store: Store) -> None:
    """Write three due rows of each type in each of eight shards, later ones first, and one that is not due."""
    store.put_all(
        [
            store.row(name, shard, at_seconds=seconds, retry_count=shard)
            for name in NAMES
            for shard in range(8)
            for seconds in (-10 - shard, -30 + shard, -20, 600)
        ]
    )


def test_what_is_due_of_a_type_comes_whole_in_its_order_by_one_statement(store: Store) -> None:
    if not reads_whole_types(store.dialect):
        pytest.skip("its lanes are read one by one")
    fill(store)
    with store.engine.connect() as connection, Statements(store.engine) as sent:
        found = read_whole_types(connection, store.tasks, ["t3", "none", "t1"], [1, 2, 5, 7], limit=100)
    assert len(sent) == 1
    assert found.moments is not None
    moments = dict(found.moments.with_ids())
    read = {task.id for tasks in found.of_types for task in tasks if task.raw_id in moments}
    for name, tasks in zip(("t3", "none", "t1"), found.of_types, strict=True):
        rows = [row for row in store.rows() if row.task_type == name and row.shard in (1, 2, 5, 7)]
        due = {row.id: row for row in rows if row.id in read}
        assert [task.id for task in tasks] == sorted(due, key=lambda one: due[one].order_time)
        assert len(tasks) == (0 if name == "none" else 12)
        assert all((task.task_type, task.retry_count) == (name, task.shard) for task in tasks)
        assert all(task.payload == due[task.id].payload for task in tasks)


def test_a_type_with_more_than_its_limit_gives_that_many(store: Store) -> None:
    if not reads_whole_types(store.dialect):
        pytest.skip("its lanes are read one by one")
    fill(store)
    with store.engine.connect() as connection:
        found = read_whole_types(connection, store.tasks, NAMES, list(range(8)), limit=23)
        nothing = read_whole_types(connection, store.tasks, ["none"], list(range(8)), limit=23)
    assert [len(tasks) for tasks in found.of_types] == [23] * len(NAMES)
    assert (nothing.of_types, nothing.moments) == ([[]], None)
