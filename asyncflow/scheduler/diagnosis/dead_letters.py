"""Dead letters by what they died of: groups of one task type and one error, whatever numbers and names are in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, Row

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects import dialect_of
from asyncflow.scheduler.connections.again import run_for_person
from asyncflow.scheduler.diagnosis import queries
from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity, lasting
from asyncflow.scheduler.diagnosis.words import say
from asyncflow.scheduler.heads.parts import MOST_LANES
from asyncflow.scheduler.table.fingerprints import error_of, fingerprint_of, normalised
from asyncflow.scheduler.table.queries import read_clock

LATELY_SECONDS = 3600.0  # dead letters that are younger are new, by default
_LANES = 64  # in which something failed last
MOST_LETTERS = 1_600  # of all of them together, of each as many
_MOST_FOUND = 640  # the same for findings, which are looked for again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterGroup:
    """Tell of the dead letters of one fingerprint; ``count`` is of those that were looked at."""

    fingerprint: str
    task_type: str
    error: str  # without what differs from one to the next
    count: int
    is_capped: bool  # there may be more
    first: datetime
    last: datetime
    example: UUID  # the latest


def letter_groups(engine: Engine, outbox: Outbox, *, within_seconds: float = LATELY_SECONDS) -> list[LetterGroup]:
    """Return the groups of the dead letters that came within so many seconds, the largest first.

    Looks at the lanes in which something failed last, at the newest of each: what is beyond is not counted.
    """
    return run_for_person(engine, lambda connection: read_groups(connection, outbox, within_seconds))


def read_groups(connection: Connection, outbox: Outbox, within_seconds: float) -> list[LetterGroup]:
    """Read the same in the transaction of a connection."""
    return [group for group, _ in groups_of(read_letters(connection, outbox, within_seconds))]


class Letters(NamedTuple):
    """Hold the dead letters of some time that were looked at: ``of_each`` lane no more; and the database's clock."""

    rows: Sequence[Row[Any]]
    now: datetime
    of_each: int


def read_letters(connection: Connection, outbox: Outbox, within_seconds: float, most: int = MOST_LETTERS) -> Letters:
    """Read the dead letters of the last seconds, as far as they are looked at."""
    dialect = dialect_of(connection.dialect.name)
    newest = connection.execute(queries.newest_failed(outbox.tasks, dialect), {"most": MOST_LANES}).all()
    lanes = [(name, shard) for name, shard, seconds in newest if -float(seconds) <= within_seconds][:_LANES]
    now: datetime = connection.execute(read_clock()).scalar_one()
    if not lanes:
        return Letters([], now, most)
    of_each = most // len(lanes)
    rows = connection.execute(queries.dead_letters(outbox.tasks, lanes, of_each, dialect)).all()
    return Letters([row for row in rows if row.order_time >= now - timedelta(seconds=within_seconds)], now, of_each)


def groups_of(letters: Letters) -> list[tuple[LetterGroup, Sequence[Any]]]:
    """Return letters that were read by their groups, the largest first, each with its members."""
    of_lanes: dict[tuple[str, int], int] = {}
    groups: dict[tuple[str, str], list[Any]] = {}
    for row in letters.rows:
        of_lanes[row.task_type, row.shard] = of_lanes.get((row.task_type, row.shard), 0) + 1
        groups.setdefault((row.task_type, normalised(error_of(row.schedule_log))), []).append(row)
    capped = {lane[0] for lane, count in of_lanes.items() if count == letters.of_each}
    found = [
        (_group(name, error, members, is_capped=name in capped), members) for (name, error), members in groups.items()
    ]
    return sorted(found, key=lambda one: (-one[0].count, one[0].task_type, one[0].error))


def _group(task_type: str, error: str, members: Sequence[Any], *, is_capped: bool) -> LetterGroup:
    latest = max(members, key=lambda row: row.order_time)
    return LetterGroup(
        fingerprint=fingerprint_of(task_type, error),
        task_type=task_type,
        error=error,
        count=len(members),
        is_capped=is_capped,
        first=min(row.order_time for row in members),
        last=latest.order_time,
        example=latest.id,
    )


def findings_of_letters(connection: Connection, outbox: Outbox, within_seconds: float) -> Iterator[Finding]:
    """Return the new dead letters, a finding for each fingerprint."""
    for group, _ in groups_of(read_letters(connection, outbox, within_seconds, _MOST_FOUND)):
        form = "{count} tasks of {type} became dead letters within {age}: {error}."
        if group.is_capped:
            form = "{count} or more tasks of {type} became dead letters within {age}: {error}."
        elif group.count == 1:
            form = "{count} task of {type} became a dead letter within {age}: {error}."
        yield Finding(
            code=Code.DEAD_LETTERS_NEW,
            severity=Severity.TROUBLE,
            kind="task type",
            name=group.task_type,
            since=group.first,
            cause=say(
                form,
                count=group.count,
                type=group.task_type,
                age=lasting(within_seconds),
                error=group.error or say("no error was written"),
            ),
            remedy=say(
                "asyncflow dead-letters show --id {id}  # when it is mended: "
                "asyncflow dead-letters replay --group {group} --yes",
                id=group.example,
                group=group.fingerprint,
            ),
        )
