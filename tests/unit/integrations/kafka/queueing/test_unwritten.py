"""An offset stands for all before it: it goes behind what is written without a gap."""

from __future__ import annotations

from asyncflow.integrations.kafka.queueing.unwritten import Unwritten


def with_notes(*places: tuple[int, int]) -> Unwritten:
    unwritten = Unwritten()
    for place in places:
        unwritten.came(*place)
    return unwritten


def test_an_offset_waits_for_what_came_before_it() -> None:
    unwritten = with_notes((0, 5), (0, 6), (0, 9), (1, 3))
    unwritten.written(0, 6)
    unwritten.written(0, 9)
    assert unwritten.ends() == {}
    unwritten.written(0, 5)
    unwritten.written(1, 3)
    assert unwritten.ends() == {0: 10, 1: 4}


def test_what_is_committed_is_not_asked_for_again_unless_more_is_written() -> None:
    unwritten = with_notes((0, 5), (0, 6))
    unwritten.written(0, 5)
    ends = unwritten.ends()
    unwritten.written(0, 6)
    unwritten.committed(ends)
    assert unwritten.ends() == {0: 7}
    unwritten.committed(unwritten.ends())
    assert unwritten.ends() == {}


def test_of_a_partition_that_is_gone_nothing_is_committed_until_its_notes_come_again() -> None:
    unwritten = with_notes((0, 5), (1, 5))
    unwritten.written(0, 5)
    unwritten.forget([0])
    unwritten.written(0, 5)
    assert unwritten.ends() == {}
    unwritten.came(0, 5)
    unwritten.written(0, 5)
    unwritten.written(1, 5)
    assert unwritten.ends() == {0: 6, 1: 6}
