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
SHARDS = (1, 2, 3)


class Parts:
    """Be what looks at the heads."""

    def __init__(self) -> None:
        self.fails = False
        self.lanes = [LANE]

    def next(self) -> Part:
        """Return the lanes, or raise."""
        if self.fails:
            raise OSError("the database is away")
        return Part.of(self.lanes, is_first=True, is_last=True)


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def lanes(parts: Parts) -> ExpiredLanes:
    outbox = Outbox(MetaData())
    outbox.message("user.registered")
    of_status: Any = {Status.SUCCESS: parts}
    return ExpiredLanes(outbox, of_status, {Status.SUCCESS: 10.0}, lambda: SHARDS, 64)


def test_a_lane_from_which_nothing_can_be_deleted_is_given_once_in_a_look(lanes: ExpiredLanes) -> None:
    assert [batch is not None for batch in (lanes.next(), lanes.next())] == [True, False]


def test_a_look_follows_one_in_which_something_was_deleted(lanes: ExpiredLanes) -> None:
    assert lanes.next() is not None
    lanes.note_deleted([LANE])
    assert lanes.next() is not None  # it may have more
    assert lanes.next() is not None  # of another look
    assert lanes.next() is None


def test_each_lane_is_the_last_of_a_batch_in_its_turn_for_there_may_be_no_room_for_its_rows(
    lanes: ExpiredLanes, parts: Parts
) -> None:
    parts.lanes = [LANE._replace(shard=shard) for shard in SHARDS]
    last = []
    for _ in range(2 * len(SHARDS)):
        batch = lanes.next()
        assert batch is not None
        last.append(batch.heads[-1].shard)
        lanes.note_deleted(batch.heads)
    assert sorted(last) == sorted(2 * SHARDS)


def test_a_look_that_raised_is_made_again(lanes: ExpiredLanes, parts: Parts) -> None:
    parts.fails = True
    with pytest.raises(OSError, match="away"):
        lanes.next()
    parts.fails = False
    assert lanes.next() is not None
