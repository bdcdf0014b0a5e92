"""What the upkeep leaves behind: settled rows that should be gone, keys of ordered types that are parked for long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.outbox.status import Status
from asyncflow.scheduler.diagnosis.finding import Code, Finding, Severity, given, lasting, soon
from asyncflow.scheduler.diagnosis.sight import ParkedRow, Sight
from asyncflow.scheduler.diagnosis.words import say, say_of
from asyncflow.scheduler.heads.parts import MOST_LANES
from asyncflow.scheduler.heads.queries import read_heads_behind

_LATE_SECONDS = 3600.0  # the cleaner runs each minute, and takes its time


def findings_of_cleaning(connection: Connection, outbox: Outbox, sight: Sight) -> Iterator[Finding]:
    """Return the statuses of which rows stay for long after their retention is over."""
    kept = {
        Status.SUCCESS: [state.success_kept_seconds for _, state in sight.states],
        Status.FAILED: [state.failed_kept_seconds for _, state in sight.states],
    }
    for status, retentions in kept.items():
        longest = None if None in retentions else max(filter(None, retentions), default=None)
        if longest is None:
            continue
        heads = read_heads_behind(connection, outbox.tasks, status, None, MOST_LANES)
        first = min(heads, key=lambda head: head.due_in_seconds, default=None)
        if first is not None and -first.due_in_seconds > longest + _LATE_SECONDS:
            yield _behind(sight, status, first.task_type, -float(first.due_in_seconds), longest)


def _behind(sight: Sight, status: Status, task_type: str, age: float, kept: float) -> Finding:
    return Finding(
        code=Code.CLEANING_BEHIND,
        severity=Severity.TROUBLE,
        kind="status",
        name=status.name,
        since=sight.ago(age - kept),
        cause=say(
            "{status} rows of {type} are kept for {kept}, and the oldest was settled {age} ago: the cleaner does not "
            "keep up, cannot delete, or nobody owns their shards.",
            status=status.name,
            type=task_type,
            kept=lasting(kept),
            age=lasting(age),
        ),
        remedy=say("asyncflow instances list  # then let cleaning_batch be larger, or cleaning_pause_seconds shorter"),
    )


def findings_of_keys(sight: Sight, stuck_seconds: float) -> Iterator[Finding]:
    """Return the task types with keys that have been parked for long, a finding for each."""
    oldest = sight.ago(stuck_seconds)
    types: dict[str, list[ParkedRow]] = {}
    for row in sight.parked:
        if row.due is None or row.since <= oldest:
            types.setdefault(row.task_type, []).append(row)
    for name, keys in types.items():
        if blocked := [row for row in keys if row.due is None]:
            yield _blocked(sight, name, blocked)
        if late := [row for row in keys if row.due is not None]:
            yield _late(sight, name, late)


def _blocked(sight: Sight, name: str, rows: Sequence[ParkedRow]) -> Finding:
    first = min(rows, key=lambda row: row.since)
    return Finding(
        code=Code.KEY_PARKED,
        severity=Severity.STUCK,
        kind="key",
        name=f"{first.key} of {name}",
        since=first.since,
        cause=say(
            "Tasks of {keys} of {type} wait for {age} behind the dead letter {letter}: the type is ordered, and a key "
            "goes on only when that is replayed, cancelled or discarded.",
            keys=_keys(first, rows),
            type=name,
            age=_age(sight, first),
            letter=first.blocked_by,
        ),
        remedy=f"asyncflow dead-letters show --id {first.blocked_by}",
    )


def _late(sight: Sight, name: str, rows: Sequence[ParkedRow]) -> Finding:
    first = min(rows, key=lambda row: row.since)
    return Finding(
        code=Code.KEY_PARKED,
        severity=Severity.TROUBLE,
        kind="key",
        name=f"{first.key} of {name}",
        since=first.since,
        cause=say(
            "Tasks of {keys} of {type} wait for {age}: the first one fails and is tried again {when}, or the key has "
            "more tasks than it may send at once; other keys go on.",
            keys=_keys(first, rows),
            type=name,
            age=_age(sight, first),
            when=soon(((first.due or sight.now) - sight.now).total_seconds()),
        ),
        remedy=f"asyncflow tasks list {given('--type', name)} {given('--key', first.key)}",
    )


def _keys(first: ParkedRow, rows: Sequence[ParkedRow]) -> str:
    if len(rows) == 1:
        return say("the key {key}", key=first.key)
    one, many = "the key {key}, and of {count} more key,", "the key {key}, and of {count} more keys,"
    return say_of(len(rows) - 1, one, many, key=first.key)


def _age(sight: Sight, row: ParkedRow) -> str:
    return lasting((sight.now - row.since).total_seconds())
