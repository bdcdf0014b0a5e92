"""Many lanes of few rows are read as pages are, and by few branches of a statement."""

from __future__ import annotations

import random

from asyncflow.scheduler.heads.queries import Head, read_pages
from asyncflow.scheduler.heads.thin_lanes import ThinLanes
from tests.integration.outbox.dialects.store import Statements, Store

TYPES, SHARDS = [f"t{number}" for number in range(12)], 16


def _filled(store: Store, rows_of: dict[str, int]) -> list[Head]:
    """Write rows of every lane, a few seconds apart, and some that are not due yet; return the heads, type by type."""
    rows = [
        store.row(name, shard, at_seconds=-60 - number * 7 % 50)
        for name in TYPES
        for shard in range(SHARDS)
        for number in range(rows_of.get(name, 2))
    ]
    rows += [store.row(name, 3, at_seconds=600) for name in TYPES]
    store.put_all(rows)
    heads = [Head(name, shard, 0.0) for name in TYPES for shard in range(SHARDS)]
    random.Random(7).shuffle(heads)
    return sorted(heads, key=lambda head: head.task_type)


def _same_as_pages(store: Store, lanes: ThinLanes, heads: list[Head], limits: list[int]) -> int:
    """Read both ways and compare; return how many branches the statements of the one way had."""
    with store.engine.connect() as connection:
        with Statements(store.engine) as sent:
            found = lanes.read(connection, store.tasks, heads, limits)
        by_page = read_pages(connection, store.tasks, heads, limits)
    assert list(found) == list(by_page)
    assert list(found.moments) == list(by_page.moments)
    known = {raw_id: moment for part in found.parts for raw_id, moment in part.with_ids()}
    assert [known[task.raw_id] for task in found] == list(found.moments)
    return sum(statement.count("UNION ALL") + 1 for statement, _ in sent)


def test_thin_lanes_give_the_same_rows_in_the_same_order_by_a_branch_for_each_type(store: Store) -> None:
    heads = _filled(store, {})
    branches = _same_as_pages(store, ThinLanes(), heads, [3] * len(heads))
    assert branches == (len(heads) if store.engine.dialect.name == "sqlite" else len(TYPES))


def test_each_lane_gives_no_more_than_its_limit(store: Store) -> None:
    heads = _filled(store, {"t1": 5, "t2": 7})
    _same_as_pages(store, ThinLanes(), heads, [1 + number % 9 for number in range(len(heads))])


def test_a_type_that_has_more_than_its_lanes_may_give_hides_none_of_its_lanes(store: Store) -> None:
    heads, lanes = _filled(store, {"t4": 40}), ThinLanes()
    for _ in range(3):
        branches = _same_as_pages(store, lanes, heads, [3] * len(heads))
    if store.engine.dialect.name != "sqlite":
        assert branches <= len(TYPES) + SHARDS  # it is known as thick by now


def test_a_thick_type_that_has_grown_thin_is_read_as_such_again(store: Store) -> None:
    heads, lanes = _filled(store, {"t4": 40}), ThinLanes()
    _same_as_pages(store, lanes, heads, [3] * len(heads))
    with store.engine.begin() as connection:
        connection.execute(store.tasks.delete().where(store.tasks.c.task_type == "t4"))
    _same_as_pages(store, lanes, heads, [3] * len(heads))
    branches = _same_as_pages(store, lanes, heads, [3] * len(heads))
    assert branches == (len(heads) if store.engine.dialect.name == "sqlite" else len(TYPES))


def test_few_lanes_are_read_by_a_page_for_each_unless_each_has_a_limit_of_its_own_in_one(store: Store) -> None:
    heads = _filled(store, {})[:64]
    are_joined = store.dialect.joins_lanes and store.dialect.limits_each_lane
    branches = 64 // SHARDS if are_joined else 64
    assert _same_as_pages(store, ThinLanes(), heads, [100] * 64) == branches
