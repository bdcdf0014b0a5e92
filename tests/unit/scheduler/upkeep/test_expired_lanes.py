"""Lanes of which settled rows have expired are given again while rows are deleted from them, and no longer."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import MetaData

from asyncflow import Outbox, Status
from asyncflow.scheduler.heads.parts import Part
from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.upkeep.expired_lanes import ExpiredLanes

LANE = Head("user.registered", 1, -100.0)


class Parts:
    """Be what looks at the heads."""

    def __init__(self) -> None:
        self.fails = False

    def next(self) -> Part:
        """Return one lane, or raise."""
        if self.fails:
            raise OSError("the database is away")
        return Part.of([LANE], is_first=True, is_last=True)


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def lanes(parts: Parts) -> ExpiredLanes:
    outbox = Outbox(MetaData())
    outbox.message("user.registered")
    of_status: Any = {Status.SUCCESS: parts}
    return ExpiredLanes(outbox, of_status, {Status.SUCCESS: 10.0}, lambda: {1}, 64)


def test_a_lane_from_which_nothing_can_be_deleted_is_given_once_in_a_look(lanes: ExpiredLanes) -> None:
    assert [batch is not None for batch in (lanes.next(), lanes.next())] == [True, False]


def test_a_look_follows_one_in_which_something_was_deleted(lanes: ExpiredLanes) -> None:
    assert lanes.next() is not None
    lanes.note_deleted([LANE])
    assert lanes.next() is not None  # it may have more
    assert lanes.next() is not None  # of another look
    assert lanes.next() is None


def test_a_look_that_raised_is_made_again(lanes: ExpiredLanes, parts: Parts) -> None:
    parts.fails = True
    with pytest.raises(OSError, match="away"):
        lanes.next()
    parts.fails = False
    assert lanes.next() is not None
