"""Heads: the first row of each task type and shard, on every database."""

from __future__ import annotations

import pytest

from asyncflow import Status
from asyncflow.scheduler.heads.queries import read_heads_of
from tests.integration.outbox.dialects.store import Store
from tests.support.databases import everywhere

pytestmark = everywhere

NEAR_SECONDS = 120  # between the writing of a row and its reading, on a busy machine


def test_an_empty_table_has_no_heads(store: Store) -> None:
    assert store.heads() == []


def test_one_row_is_one_head(store: Store) -> None:
    store.put("user.registered", 7)
    assert store.lanes() == [("user.registered", 7)]


def test_many_rows_of_a_pair_are_one_head(store: Store) -> None:
    store.put_all([store.row("a", 3) for _ in range(50)])
    assert store.lanes() == [("a", 3)]


def test_every_pair_of_type_and_shard_is_a_head(store: Store) -> None:
    lanes = [(f"type.{number}", shard) for number in range(6) for shard in range(64)]
    store.put_all([store.row(*lane) for lane in lanes for _ in range(2)])
    assert store.lanes() == sorted(lanes)


def test_sparse_pairs_are_all_found(store: Store) -> None:
    lanes = [("a", 0), ("a", 63), ("b", 5), ("c", 0), ("z", 32_766)]
    store.put_all([store.row(*lane) for lane in lanes])
    assert store.lanes() == lanes


@pytest.mark.parametrize("shards", [1, 8, 64, 200])
def test_heads_of_one_type_are_those_that_it_has_among_all(store: Store, shards: int) -> None:
    for number, (name, shard) in enumerate((name, shard) for name in "abc" for shard in (0, 3, 7, 8, 63, 64, 300)):
        store.put_all([store.row(name, shard, at_seconds=-100 * number + second) for second in range(1, 4)])
    store.put("b", 5, status=int(Status.FAILED))
    with store.engine.connect() as connection:
        found = read_heads_of(connection, store.tasks, Status.PENDING, "b", shards)
        none = read_heads_of(connection, store.tasks, Status.PENDING, "B", shards)
    wanted = [head for head in store.heads() if head.task_type == "b"]
    assert sorted((*head[:2], head.moment) for head in found) == sorted((*head[:2], head.moment) for head in wanted)
    assert {type(head.due_in_seconds) for head in found} == {float}
    assert none == []


def test_types_that_differ_little_are_told_apart(store: Store) -> None:
    names = ["a", "A", "aa", "a.a", "a-a", "a_a", "a a", "á", "ä", "ß", "ss", "日本", "😀", "Z", "0", "10", "9"]
    store.put_all([store.row(name, shard) for name in names for shard in (1, 0)])
    assert store.lanes() == sorted((name, shard) for name in names for shard in (0, 1))


def test_the_earliest_order_time_is_the_head_s(store: Store) -> None:
    for at_seconds in (-100, -5000, -1, 400):
        store.put("a", 1, at_seconds)
    (head,) = store.heads()
    assert head.due_in_seconds == pytest.approx(-5000, abs=NEAR_SECONDS)


@pytest.mark.parametrize("at_seconds", [-31_104_000, -0.5, 3600, 315_360_000])
def test_a_head_tells_in_how_many_seconds_it_is_due(store: Store, at_seconds: float) -> None:
    store.put("a", 1, at_seconds)
    (head,) = store.heads()
    assert type(head.due_in_seconds) is float
    assert head.due_in_seconds <= at_seconds + 0.1  # so far a clock may be set back meanwhile
    assert head.due_in_seconds == pytest.approx(at_seconds, abs=NEAR_SECONDS)


def test_each_head_has_its_own_time(store: Store) -> None:
    store.put("a", 1, -1000)
    store.put("a", 2, 1000)
    store.put("b", 1, -3000)
    ages = {(head.task_type, head.shard): head.due_in_seconds for head in store.heads()}
    assert ages[("a", 1)] == pytest.approx(-1000, abs=NEAR_SECONDS)
    assert ages[("a", 2)] == pytest.approx(1000, abs=NEAR_SECONDS)
    assert ages[("b", 1)] == pytest.approx(-3000, abs=NEAR_SECONDS)


def test_rows_of_other_statuses_are_no_heads(store: Store) -> None:
    for status in Status:
        store.put(f"type.{status.name.lower()}", int(status), -9999, status=int(status))
    for status in Status:
        assert store.lanes(status) == [(f"type.{status.name.lower()}", int(status))]


def test_a_settled_row_before_a_pending_one_does_not_hide_it(store: Store) -> None:
    store.put("a", 1, -9999, status=int(Status.SUCCESS))
    store.put("a", 1, -10)
    (head,) = store.heads()
    assert head.due_in_seconds == pytest.approx(-10, abs=NEAR_SECONDS)
