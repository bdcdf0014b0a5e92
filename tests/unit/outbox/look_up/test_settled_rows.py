"""What is kept of tasks that are settled for good: no more than is allowed, no longer, and nothing that may change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from asyncflow.outbox.look_up.settled_rows import SettledRows
from asyncflow.outbox.status import Status

ROOM = 3 * 2100  # for three rows of a hundred bytes


class ARow(tuple[Any, ...]):
    """Be a row with an id, a status and some text."""

    id = property(lambda self: self[0])
    status = property(lambda self: self[1])


def row(number: int, status: Status = Status.SUCCESS, size: int = 100, letter: str = "x") -> Any:
    return ARow((UUID(int=number), int(status), letter * size, None))


def kept(most_bytes: int = ROOM) -> tuple[SettledRows, SimpleNamespace]:
    clock = SimpleNamespace(now=0.0)
    return SettledRows(most_bytes, 60.0, lambda: clock.now), clock


def numbers(rows: SettledRows) -> set[int]:
    return {number for number in range(10) if rows.find(UUID(int=number))}


@pytest.mark.parametrize("status", [Status.PENDING, Status.PROCESSING, Status.FAILED])
def test_what_may_change_is_not_kept(status: Status) -> None:
    rows, _ = kept()
    rows.keep(row(1, status), 0.0)
    assert numbers(rows) == set()


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.CANCELLED])
def test_what_nobody_can_change_is_kept_for_a_time_from_when_it_was_asked_for(status: Status) -> None:
    rows, clock = kept()
    clock.now = 5.0
    rows.keep(row(1, status), 2.0)
    clock.now = 62.0
    found = rows.find(UUID(int=1))
    assert found is not None
    assert (found.row, found.asked_at) == (row(1, status), 2.0)
    clock.now = 62.1
    assert numbers(rows) == set()


def test_those_that_were_looked_at_last_are_kept() -> None:
    rows, _ = kept()
    for number in (1, 2, 3):
        rows.keep(row(number), 0.0)
    rows.find(UUID(int=1))
    rows.keep(row(4), 0.0)
    assert numbers(rows) == {1, 3, 4}


def test_one_that_is_kept_again_counts_once_and_one_that_is_too_large_drops_nothing() -> None:
    rows, _ = kept()
    for _ in range(9):
        rows.keep(row(1), 0.0)
    rows.keep(row(2), 0.0)
    rows.keep(row(3), 0.0)
    rows.keep(row(4, size=ROOM), 0.0)
    assert numbers(rows) == {1, 2, 3}
    rows.keep(row(5, size=2100), 0.0)
    assert numbers(rows) == {3, 5}


def test_a_text_takes_as_much_room_as_its_bytes() -> None:
    rows, _ = kept()
    rows.keep(row(1, size=ROOM // 3, letter="流"), 0.0)
    assert numbers(rows) == set()
    for number in (2, 3):
        rows.keep(row(number, size=700, letter="流"), 0.0)
    assert numbers(rows) == {3}


def test_without_room_nothing_is_kept() -> None:
    rows, _ = kept(0)
    rows.keep(row(1), 0.0)
    assert numbers(rows) == set()
