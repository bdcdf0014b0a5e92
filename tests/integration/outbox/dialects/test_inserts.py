"""Inserts: once for a key, and many rows in few round trips, on every database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from tests.integration.outbox.dialects.store import Statements, Store
from tests.support.databases import everywhere

pytestmark = everywhere


def insert_shards(store: Store, *shards: int, owner: str) -> int:
    with store.engine.begin() as connection:
        marks = {"epoch": 0, "acquired_at": timedelta(0), "disabled": False, "misfire": False, "running": False}
        rows = [{"job": "outbox", "shard": shard, "owner": owner, **marks} for shard in shards]
        return store.dialect.insert_absent(connection, store.outbox.shards, rows)


def entry(key: str) -> dict[str, Any]:
    return {"task_type": "a", "unique_key": key, "task_id": uuid4()}


def test_an_insert_that_holds_inserts_the_missing_ones_and_leaves_the_others(store: Store) -> None:
    entries = store.outbox.unique_entries
    first, again, other = entry("k"), entry("k"), entry("K")
    for rows in ([first], [again], [again, other]):
        with store.engine.begin() as connection:
            store.dialect.insert_and_hold(connection, entries, rows)
    with store.engine.connect() as connection:
        found = {row.task_id for row in connection.execute(select(entries.c.task_id))}
    assert found == {first["task_id"], other["task_id"]}


def owners(store: Store) -> dict[int, str]:
    shards = store.outbox.shards
    with store.engine.connect() as connection:
        return {row.shard: row.owner for row in connection.execute(select(shards.c.shard, shards.c.owner))}


def test_a_new_key_is_inserted_and_counted(store: Store) -> None:
    assert insert_shards(store, 1, owner="first") == 1
    assert owners(store) == {1: "first"}


def test_an_existing_key_stays_as_it_is_and_is_not_counted(store: Store) -> None:
    insert_shards(store, 1, owner="first")
    assert insert_shards(store, 1, owner="second") == 0
    assert owners(store) == {1: "first"}


def test_of_many_keys_the_missing_ones_are_inserted(store: Store) -> None:
    insert_shards(store, 1, 3, owner="first")
    assert insert_shards(store, 0, 1, 2, 3, owner="second") == 2
    assert owners(store) == {0: "second", 1: "first", 2: "second", 3: "first"}


@pytest.mark.parametrize("count", [1, 2, 499, 500, 501, 1201])
def test_any_number_of_rows_is_inserted(store: Store, count: int) -> None:
    rows = [store.row("a", number % 64) for number in range(count)]
    store.put_all(rows)
    assert [row.id for row in store.rows()] == sorted(row["id"] for row in rows)


def test_rows_keep_every_value(store: Store) -> None:
    values: dict[str, Any] = {
        "task_key": '%s %(id)s :id ? it\'s "a" \\ 😀',
        "headers": '{"a":"%s"}',
        "payload": bytes(range(256)) + b"%s %(payload)s '",
        "priority": 31_104_000,
        "retry_count": 3,
        "max_retries": 2**31 - 1,
        "schedule_log": "line\nline\t%",
        "status": 3,
    }
    row = store.row("it's 100%", 32_766, **values)
    store.put_all([row, store.row("b", 1, task_key=None, headers=None, payload=None)])
    first, second = store.rows()
    assert {name: getattr(first, name) for name in values} == values
    assert (first.id, first.task_type, first.shard) == (row["id"], "it's 100%", 32_766)
    assert (second.task_key, second.headers, second.payload, second.schedule_log) == (None, None, None, None)


def test_times_are_written_as_offsets_from_the_database_s_now(store: Store) -> None:
    store.put_all([store.row("a", 1, at) for at in (-1000.000001, 0, 86_400.5)])
    created = [row.created_at for row in store.rows()]
    offsets = [(row.order_time - row.created_at).total_seconds() for row in store.rows()]
    # SQLite keeps milliseconds.
    assert offsets == pytest.approx([-1000.000001, 0, 86_400.5], abs=0.0021)
    assert max(created) - min(created) < timedelta(seconds=60)


@pytest.mark.parametrize(("rows", "size", "most_statements"), [(1201, 10, 3), (10, 200_000, 5), (3, 3_000_000, 3)])
def test_rows_travel_in_few_statements_of_a_bounded_size(
    store: Store, rows: int, size: int, most_statements: int
) -> None:
    with Statements(store.engine) as sent:
        store.put_all([store.row("a", 1, payload=bytes([number % 256]) * size) for number in range(rows)])
    assert len(sent) <= most_statements
    assert [len(row.payload) for row in store.rows()] == [size] * rows
    if store.engine.dialect.name == "mysql":
        assert max(statement_size(parameters) for _, parameters in sent) <= max(1024 * 1024, size + 1000)


def statement_size(parameters: Any) -> int:
    return sum(len(value) for value in parameters if isinstance(value, (bytes, str)))


def test_rows_of_a_transaction_that_is_rolled_back_are_gone(store: Store) -> None:
    with store.engine.connect() as connection:
        store.dialect.insert_many(connection, store.tasks, [store.row() for _ in range(600)])
        connection.rollback()
    assert store.rows() == []
