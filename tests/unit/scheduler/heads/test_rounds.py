"""A hold is whole: it ends short only where no more is due, or others want the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from asyncflow.outbox import Task
from asyncflow.scheduler.heads.precedence import NEVER, Bounds, Precedence
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head
from asyncflow.scheduler.heads.rounds import claim_rows, earliest_due


class Table:
    """Hold the due rows of some lanes, by the moment of each, and claim from them as the statements do."""

    def __init__(self, lanes: Iterable[Iterable[int]]) -> None:
        self.lanes = {shard: sorted(moments) for shard, moments in enumerate(lanes) if moments}
        self.looks = self.rounds = 0
        self.taken_by_others: list[int] = []  # before each round, so many rows of each lane

    def look(self) -> list[Head]:
        self.looks += 1
        return earliest_due(Head("mail", shard, -1.0, rows[0]) for shard, rows in self.lanes.items() if rows)

    def claim_in(self, pages: Iterable[tuple[Sequence[Head], int]]) -> list[Task]:
        self.rounds += 1
        if self.taken_by_others:
            gone = self.taken_by_others.pop()
            self.lanes = {shard: rows[gone:] for shard, rows in self.lanes.items()}
        return [task for heads, most in pages for task in self._claimed(heads, most)]

    def _claimed(self, heads: Sequence[Head], most: int) -> list[Task]:
        order = Precedence()
        portions = order.portions(heads[:MOST_PAGES], most)
        pages = [(one.head.shard, moment) for one in portions for moment in self.lanes[one.head.shard][: one.limit]]
        tasks = [task_in(shard) for shard, _ in pages]
        read = {portion.head.shard for portion in portions}
        elsewhere = min((head.moment for head in heads if head.shard not in read), default=NEVER)
        moments = [moment for _, moment in pages]
        taken = order.take(tasks, moments, portions, Bounds(most, most, elsewhere)) if tasks else []
        for task in taken:
            self.lanes[task.shard].pop(0)
        return taken


def task_in(shard: int) -> Task:
    return Task(None, "mail", shard, None, None, b"", 0, -1)


def hold(table: Table, most: int) -> int:
    return len(claim_rows(table.claim_in, table.look, table.look(), most))


lanes_of_rows = some.lists(
    some.tuples(some.integers(0, 60), some.integers(0, 3)).map(lambda few: [few[1] * 1000 + n for n in range(few[0])]),
    min_size=1,
    max_size=80,
)


@settings(max_examples=100)
@given(lanes_of_rows, some.integers(1, 1500))
def test_a_hold_takes_all_that_is_due_up_to_its_limit_however_it_lies(lanes: list[list[int]], most: int) -> None:
    assert hold(Table(lanes), most) == min(most, sum(map(len, lanes)))


def test_the_last_rows_are_not_searched_for_in_one_lane_after_the_other() -> None:
    table = Table([[1000] * 16 for _ in range(63)] + [[1001] * 17])
    assert hold(table, 1025) == 1025
    assert table.rounds <= 1025 // 64 + 3
    assert table.looks <= 4


def test_a_hold_that_is_filled_at_once_looks_once() -> None:
    table = Table([[1000] * 10] * 8)
    assert hold(table, 64) == 64
    assert (table.looks, table.rounds) == (1, 1)


def test_what_is_left_where_others_took_the_first_rows_is_found() -> None:
    table = Table([[1000] * 40])
    table.taken_by_others = [39]
    assert hold(table, 10) == 1
    table = Table([[1000] * 40, [2000] * 40])
    table.taken_by_others = [40, 0]
    assert hold(table, 70) == 64


def test_a_hold_whose_rows_are_all_taken_ends_soon() -> None:
    table = Table([[1000] * 5] * 64)

    def vain(_: Any) -> list[Task]:
        table.rounds += 1
        return []

    assert claim_rows(vain, table.look, table.look(), 1000) == []
    assert table.rounds <= 4
