"""Pages: the due rows of some pairs in one statement, on every database."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest

from asyncflow import Status
from asyncflow.outbox import Task
from asyncflow.scheduler.heads.queries import Head, read_pages
from tests.integration.outbox.dialects.store import Statements, Store
from tests.support.databases import everywhere

pytestmark = everywhere


def test_a_page_holds_tasks_as_they_were_written(store: Store) -> None:
    row = store.put(
        "a", 3, task_key="A1001", headers='{"trace":"1"}', payload=b"\x00\xff", retry_count=2, max_retries=9
    )
    (task,) = store.pages([("a", 3)])
    assert task == Task(task.raw_id, "a", 3, "A1001", '{"trace":"1"}', b"\x00\xff", 2, 9)
    assert task.id == row["id"]
    assert type(task.id) is uuid.UUID
    assert task.headers == {"trace": "1"}


def test_a_task_without_key_headers_and_payload_is_read_as_such(store: Store) -> None:
    store.put("a", 3, payload=None)
    (task,) = store.pages([("a", 3)])
    assert (task.key, task.headers_json, task.payload) == (None, None, None)
    assert task.headers == {}


@pytest.mark.parametrize("count", [1, 2, 64])
def test_any_number_of_pages_is_read_in_one_statement(store: Store, count: int) -> None:
    lanes = [("a", shard) for shard in range(count)]
    store.put_all([store.row(*lane) for lane in lanes for _ in range(3)])
    with Statements(store.engine) as sent:
        tasks = store.pages(lanes)
    assert len(sent) == 1
    assert [(task.task_type, task.shard) for task in tasks] == [lane for lane in lanes for _ in range(3)]


def test_pages_of_several_types_come_in_the_order_asked_for(store: Store) -> None:
    lanes = [("b", 2), ("a", 1), ("a", 5)]
    store.put_all([store.row(*lane) for lane in reversed(lanes)])
    assert [(task.task_type, task.shard) for task in store.pages(lanes)] == lanes


@pytest.mark.parametrize("count", [1, 2, 64])
def test_the_limit_is_that_of_each_page(store: Store, count: int) -> None:
    lanes = [("a", shard) for shard in range(count)]
    store.put_all([store.row(*lane) for lane in lanes for _ in range(4)])
    assert len(store.pages(lanes, limit=3)) == 3 * count


def test_a_page_begins_with_the_earliest_order_time(store: Store) -> None:
    rows = [store.row("a", shard, -at) for shard in (1, 2) for at in (5, 5000, 1, 300)]
    store.put_all(rows)
    by_id = {row["id"]: row["order_time"].total_seconds() for row in rows}
    tasks = store.pages([("a", 1), ("a", 2)])
    assert [by_id[task.id] for task in tasks] == [-5000, -300, -5, -1] * 2
    assert [by_id[task.id] for task in store.pages([("a", 1)], limit=2)] == [-5000, -300]


def test_rows_that_are_not_due_are_not_fetched(store: Store) -> None:
    due = store.put("a", 1, -1)
    store.put("a", 1, 3600)
    assert [task.id for task in store.pages([("a", 1)])] == [due["id"]]


def test_rows_of_other_statuses_types_and_shards_are_not_fetched(store: Store) -> None:
    wanted = store.put("a", 1)
    for status in set(Status) - {Status.PENDING}:
        store.put("a", 1, status=int(status))
    store.put("A", 1)
    store.put("a", 2)
    assert [task.id for task in store.pages([("a", 1)])] == [wanted["id"]]


def test_a_pair_without_rows_gives_nothing(store: Store) -> None:
    store.put("a", 1)
    tasks = store.pages([("a", 0), ("a", 1), ("b", 1)])
    assert [(task.task_type, task.shard) for task in tasks] == [("a", 1)]


def test_types_with_quotes_and_wildcards_are_plain_text(store: Store) -> None:
    names = ["%s", "%(limit)s", ":limit", "it's", 'say "a"', "back\\slash", "100%", "?"]
    store.put_all([store.row(name, 1) for name in names])
    assert [task.task_type for task in store.pages([(name, 1) for name in names])] == names


def test_lanes_that_are_read_together_give_the_rows_that_pages_give(store: Store) -> None:
    chance = random.Random(7)
    lanes = [("b", 2), ("b", 0), ("a", 1), ("a", 5), ("b", 7)]
    store.put_all([store.row(*chance.choice(lanes), -chance.randrange(1, 40)) for _ in range(200)])
    limits = [3, 50, 1, 7, 2]
    heads = [Head(*lane, 0.0) for lane in lanes]
    with store.engine.connect() as connection:
        together = read_pages(connection, store.tasks, heads, limits)
        each = [read_pages(connection, store.tasks, [head], limit) for head, limit in zip(heads, limits, strict=True)]
    assert together == [task for pages in each for task in pages]
    assert list(together.moments) == [moment for pages in each for moment in pages.moments]


def test_bytes_come_as_they_are_and_the_cursors_of_the_application_are_left_alone(store: Store) -> None:
    store.put("a", 1, payload=bytes(range(256)), task_key="键", headers='{"trace":"é"}')
    with store.engine.connect() as connection:
        driver_connection: Any = connection.connection.driver_connection
        before = getattr(driver_connection, "cursor_factory", None)
        (task,) = read_pages(connection, store.tasks, [Head("a", 1, 0.0)], 10)
        assert (task.payload, task.key, task.headers_json) == (bytes(range(256)), "键", '{"trace":"é"}')
        assert getattr(driver_connection, "cursor_factory", None) is before
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


def test_a_kind_of_cursor_that_an_application_has_chosen_is_used(store: Store) -> None:
    if store.engine.dialect.driver != "psycopg":
        pytest.skip("no other driver is told how to send bytes")
    from psycopg import ClientCursor  # which knows no binary rows

    store.put("a", 1, payload=b"\x00\xff")
    with store.engine.connect() as connection:
        driver_connection: Any = connection.connection.driver_connection
        driver_connection.cursor_factory = ClientCursor
        (task,) = read_pages(connection, store.tasks, [Head("a", 1, 0.0)], 10)
        assert driver_connection.cursor_factory is ClientCursor
        connection.invalidate()
    assert task.payload == b"\x00\xff"
