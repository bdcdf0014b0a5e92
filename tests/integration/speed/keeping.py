"""What is done by hand, and how finished tasks are kept: in an archive, and in tables with numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from sqlalchemy import MetaData

from asyncflow import Outbox, RollOver, Scheduler
from asyncflow.scheduler.operator.by_hand.notes import Notes
from asyncflow.scheduler.operator.by_hand.triggers import Triggers
from asyncflow.scheduler.upkeep.rolling import keeper

if TYPE_CHECKING:
    from tests.integration.speed.crowd import Crowd, Verb

_GROUPS = [f"{number:012x}" for number in range(400)]
_AT_ONCE: dict[str, Any] = {"_PAUSE_SECONDS": 0.0, "GRACE_SECONDS": 0.0}  # no step waits for the one before


def by_hand(crowd: Crowd) -> Iterator[Verb]:
    """Yield what a person writes on groups, and does with periodic tasks."""
    notes = Notes(crowd.engine, crowd.messages)
    yield "note", 2, lambda: notes.write(_GROUPS[7], "known", actor="me")
    yield "notes", 1, lambda: notes.of(_GROUPS)
    outbox = Outbox(MetaData(), shard_count=crowd.size.shards)
    outbox.periodic(outbox.task("yearly")(_nothing), "0 0 1 1 *")
    planning = Scheduler(crowd.engine, outbox, {})
    yield "record a plan", 6, lambda: [planning.machinery.staff.timetable.step() for _ in range(2)]
    triggers = Triggers(crowd.engine, outbox)
    yield "periodic now", 4, lambda: triggers.periodic_now("yearly", actor="me")
    yield "enqueue what is due", 6, planning.machinery.staff.timetable.step
    yield "pause", 4, lambda: triggers.pause_periodic("yearly", actor="me")
    yield "resume", 5, lambda: triggers.resume_periodic("yearly", actor="me")
    planning.machinery.staff.timetable.close()


def rolling(crowd: Crowd) -> Iterator[Verb]:
    """Yield how tasks that are over roll on, from table to table, each archived before it is dropped; others, too."""
    metadata = MetaData()
    roll_over = RollOver(rows=300, after=timedelta(0), keep=timedelta(0))
    outbox = Outbox(metadata, shard_count=crowd.size.shards, roll_over=roll_over)
    metadata.create_all(crowd.engine)
    with ExitStack() as until:
        until.enter_context(patch.multiple(keeper, **_AT_ONCE))
        directory = until.enter_context(TemporaryDirectory())
        keeping = Scheduler(crowd.engine, outbox, {}, archive_directory=directory, failed_retention_seconds=1)
        yield "start to roll over", 30, keeping.machinery.take_shares
        cleaner = keeping.machinery.staff.cleaner
        yield "roll over", 40 * 24, lambda: [cleaner.step() for _ in range(24)]
        cleaner.end()
        yield "stop rolling over", 10, partial(keeping.stop, timeout_seconds=10)


def _nothing() -> None: ...
