"""How a round is shared out; the order of an ordered type's rows rests on their own times and ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.outbox import Task
from asyncflow.scheduler.heads.priorities import Priorities
from asyncflow.scheduler.heads.queries import Head, Pages

Row = tuple[int, int, bytes]  # shard, moment, id


@given(
    st.sets(st.tuples(st.integers(0, 3), st.integers(0, 5), st.binary(min_size=16, max_size=16))).flatmap(
        lambda rows: st.permutations(sorted(rows))
    )
)
def test_rows_of_an_ordered_type_go_by_lane_time_and_id_however_they_come(rows: list[Row]) -> None:
    priorities = Priorities(lambda _: True)
    heads = [Head("a", shard, -1.0) for shard in (2, 0, 3, 1)]
    plan = priorities.plan(heads, 4 * (len(rows) + 1), heads, [])
    tasks = [Task(raw_id, "a", shard, "k", None, None, 0, 0) for shard, _, raw_id in rows]
    taken = priorities.take(Pages(tasks, [moment for _, moment, _ in rows]), plan)
    in_order = sorted(rows, key=lambda row: ((2, 0, 3, 1).index(row[0]), *row[1:]))
    assert [task.raw_id for task in taken] == [raw_id for _, _, raw_id in in_order]


@pytest.mark.parametrize("lanes", [64, 513, 610, 700, 1000])
def test_a_round_over_many_types_is_shared_out_whole(lanes: int) -> None:
    heads = [Head(f"type.{number // 64:02}", number % 64, -1.0) for number in range(lanes)]
    plan = Priorities(lambda _: False).plan(heads, 2000, heads, [])
    assert 2000 - 16 <= sum(portion.rows for portion in plan.portions) <= 2000  # less than a row of each type is lost
    assert sum(bounds.rows for bounds in plan.bounds.values()) <= 2000
