"""The board of dead letters: how many of each fingerprint came within each of some stretches of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine

from asyncflow.outbox import Outbox
from asyncflow.scheduler.connections.again import run_for_person
from asyncflow.scheduler.diagnosis.dead_letters import LetterGroup, groups_of, read_letters
from asyncflow.scheduler.table.fingerprints import error_of

WINDOWS = (3600.0, 3 * 3600.0, 86400.0, 3 * 86400.0, 7 * 86400.0)  # seconds back from now


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """Tell of one group how many of its letters came within each of the WINDOWS."""

    group: LetterGroup
    counts: tuple[int, ...]


class LetterOfGroup(NamedTuple):
    """Tell of one dead letter of a group."""

    task_id: UUID
    died_at: datetime
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """Tell of one group within a stretch of time; ``letters`` are the newest first, no more than were asked for."""

    group: LetterGroup
    letters: Sequence[LetterOfGroup]
    now: datetime


def letter_board(engine: Engine, outbox: Outbox) -> list[BoardRow]:
    """Return the groups of the dead letters of the longest of the WINDOWS, the largest first; bounded as they are."""

    def read(connection: Connection) -> list[BoardRow]:
        letters = read_letters(connection, outbox, max(WINDOWS))
        return [_row(group, [_age(one, letters.now) for one in members]) for group, members in groups_of(letters)]

    return run_for_person(engine, read)


def letters_of_group(
    engine: Engine, outbox: Outbox, fingerprint: str, within_seconds: float, most: int
) -> GroupView | None:
    """Return the newest letters of a group, up to ``most``; None if it has none within the stretch of time."""

    def read(connection: Connection) -> GroupView | None:
        letters = read_letters(connection, outbox, within_seconds)
        for group, members in groups_of(letters):
            if group.fingerprint == fingerprint:
                newest = sorted(members, key=lambda row: row.order_time, reverse=True)[:most]
                return GroupView(group=group, letters=list(map(_letter, newest)), now=letters.now)
        return None

    return run_for_person(engine, read)


def _row(group: LetterGroup, ages: Sequence[float]) -> BoardRow:
    return BoardRow(group=group, counts=tuple(sum(age <= window for age in ages) for window in WINDOWS))


def _age(row: Any, now: datetime) -> float:
    return float((now - row.order_time).total_seconds())


def _letter(row: Any) -> LetterOfGroup:
    return LetterOfGroup(row.id, row.order_time, error_of(row.schedule_log))
