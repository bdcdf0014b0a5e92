"""The heads of a status in parts: all types come, each whole, and no look is larger than it may be."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow import Status
from asyncflow.scheduler.heads import parts
from asyncflow.scheduler.heads.parts import HeadParts, Part
from asyncflow.scheduler.heads.queries import Head


class Lanes:
    """Be a table of lanes, and note how many each look asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, of_types: dict[str, int]) -> None:
        self.heads = [Head(name, shard, -1.0) for name, count in of_types.items() for shard in range(count)]
        self.limits: list[int] = []
        monkeypatch.setattr(parts, "read_heads_behind", self._read)

    def _read(self, _: Any, __: Any, ___: int, behind: str | None, limit: int) -> list[Head]:
        self.limits.append(limit)
        return [head for head in self.heads if behind is None or head.task_type > behind][:limit]

    def parts(self, shard_count: int = 64) -> HeadParts:
        tasks: Any = None
        return HeadParts(lambda work: work(tasks), tasks, Status.PENDING, shard_count)


def cycle(these: HeadParts) -> list[Part]:
    found = [these.next()]
    while not found[-1].is_last:
        found.append(these.next())
    return found


def test_few_lanes_are_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = Lanes(monkeypatch, {"a": 64, "b": 64})
    (part,) = cycle(lanes.parts())
    assert part.is_whole
    assert part.heads == lanes.heads


@pytest.mark.parametrize("shards", [1, 7, 64])
def test_many_lanes_come_in_parts_that_repeat_and_leave_out_nothing(
    monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    lanes = Lanes(monkeypatch, {f"type.{number:05}": shards for number in range(-(-5000 // shards))})
    these = lanes.parts()
    for _ in range(2):
        found = cycle(these)
        assert len(found) > 3
        assert [head for part in found for head in part.heads] == lanes.heads
        assert [part.is_first for part in found] == [True] + [False] * (len(found) - 1)
        assert not any(part.is_whole for part in found)
    assert max(lanes.limits) <= parts.MOST_LANES + 1


def test_a_part_of_fewer_lanes_is_followed_by_what_comes_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = Lanes(monkeypatch, {f"type.{number:05}": 64 for number in range(50)})
    these = lanes.parts()
    found = [these.next(640), these.next(100), these.next(), these.next(640)]
    assert [len(part.heads) for part in found] == [640, 64, 1024, 640]
    assert [head for part in found for head in part.heads] == lanes.heads[: 640 + 64 + 1024 + 640]


def test_all_lanes_of_a_type_are_in_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes = Lanes(monkeypatch, {"a": 100, "b": 3000, "c": 3000, "d": 1})
    found = cycle(lanes.parts(shard_count=3000))
    names = [{head.task_type for head in part.heads} for part in found]
    assert names == [{"a"}, {"b"}, {"c"}, {"d"}] or names == [{"a"}, {"b"}, {"c", "d"}]


def test_a_type_of_more_lanes_than_there_are_shards_does_not_stop_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As settled rows of an earlier, larger shard_count leave them."""
    lanes = Lanes(monkeypatch, {"a": 4000, "b": 10})
    assert {head.task_type for part in cycle(lanes.parts()) for head in part.heads} == {"a", "b"}
