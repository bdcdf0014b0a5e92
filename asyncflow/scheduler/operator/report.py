"""What waits, what failed, and who owns what: the answer to a person's question at 3 a.m."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.configuration.configurations import read_configuration
from asyncflow.scheduler.connections.again import run_for_person
from asyncflow.scheduler.operator import queries
from asyncflow.scheduler.operator.task_view import DeadLetter, letter_of
from asyncflow.scheduler.operator.type_counts import COUNT_LIMIT, TypeCounts, count_types
from asyncflow.scheduler.table.queries import MOST_AHEAD
from asyncflow.scheduler.table.table_check import require_tables

_LATEST = 5
_MOST_RUNNING = 100_000  # rows, of which the oldest are told
_TYPES_AT_ONCE = 256  # whose lanes a statement looks at
_TYPES_OF_KEYS_AT_ONCE = 50
_MOST_KEYS = 1_000  # parked ones of a type, that are counted


@dataclass(frozen=True, slots=True)
class TypeReport:
    """Tell of one task type; counts stop at the report's ``count_limit``, so that looking stays cheap."""

    task_type: str
    pending: int
    oldest_due_seconds: float | None  # how long the longest-due task waits; None if nothing is due
    next_due_seconds: float | None  # until the next delayed or retried task; None if there is none, or it is set aside
    succeeded: int
    failed: int
    enabled: bool = True  # as far as the configuration and this process's declarations tell
    running: int = 0
    oldest_running_seconds: float | None = None  # since its worker was heard of last; None if none runs
    cancelled: int = 0
    parked_keys: int = 0  # up to 1,000 of them, where the next task is one that is set aside behind its key's first
    parked_due_seconds: float | None = None  # until one of these keys is tried again; None if dead letters block them


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the state of one outbox."""

    types: list[TypeReport]
    owners: dict[str | None, int]  # owner to number of shards; None: shards without one, or whose lease ran out
    dead_letters: list[DeadLetter]  # the latest
    count_limit: int = COUNT_LIMIT  # a count that reaches it means "so many or more"; lower, the more types there are


def report(engine: Engine, outbox: Outbox) -> Report:
    """Read the state of the outbox in one transaction, in bounded time; raises TablesMissingError."""
    require_tables(engine, outbox)
    return run_for_person(engine, lambda connection: _read(connection, outbox))


def _read(connection: Connection, outbox: Outbox) -> Report:
    counts = count_types(connection, outbox.tasks, Status)
    return Report(
        _types(connection, outbox, counts),
        _owners(connection, outbox),
        _dead_letters(connection, outbox, counts),
        counts.limit,
    )


def _types(connection: Connection, outbox: Outbox, counts: TypeCounts) -> list[TypeReport]:
    due = queries.due_of_types(outbox.tasks, dialect_of(connection.dialect.name))
    parts = (connection.execute(due, some) for some in _in_parts(counts.names(Status.PENDING)))
    waits = {name: (overdue, later) for part in parts for name, overdue, later in part}
    oldest = queries.oldest_running(outbox.tasks)
    runs = {row[0]: row[1] for row in connection.execute(oldest, {"most": _MOST_RUNNING})}
    parked = _parked_keys(connection, outbox, [name for name, (_, later) in waits.items() if _may_be_aside(later)])
    off = _switched_off(connection, outbox)
    names = sorted({*waits, *off, *(name for _, name in counts.counts)})
    return [
        replace(
            _type_report(name, counts, waits.get(name, (None, None)), runs.get(name), name not in off),
            **parked.get(name, {}),
        )
        for name in names
    ]


def _may_be_aside(later: float | None) -> bool:
    return later is not None and later > MOST_AHEAD.total_seconds()


def _parked_keys(connection: Connection, outbox: Outbox, types: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return by type what is to be told of its parked keys, in place of when a row is due that is set aside."""
    found: dict[str, list[float | None]] = {}
    dialect = dialect_of(connection.dialect.name)
    for start in range(0, len(types), _TYPES_OF_KEYS_AT_ONCE):
        statement = queries.parked_keys(outbox.parked_keys, types[start : start + _TYPES_OF_KEYS_AT_ONCE], dialect)
        for name, due in connection.execute(statement, {"most": _MOST_KEYS}):
            found.setdefault(name, []).append(due)
    return {name: _told_of(dues) for name, dues in found.items()}


def _told_of(dues: Sequence[float | None]) -> dict[str, Any]:
    first = min((float(due) for due in dues if due is not None), default=None)
    due_in = None if first is None else max(0.0, first)
    return {"next_due_seconds": None, "parked_keys": len(dues), "parked_due_seconds": due_in}


def _in_parts(names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the first and the last type of each part, so that no statement looks at the lanes of all types."""
    for start in range(0, len(names), _TYPES_AT_ONCE):
        yield {"its_type": names[start], "last_type": names[start : start + _TYPES_AT_ONCE][-1]}


def _type_report(
    name: str, counts: TypeCounts, waits: tuple[float | None, float | None], since: float | None, is_enabled: bool
) -> TypeReport:
    overdue, later = waits
    return TypeReport(
        task_type=name,
        pending=counts.of(Status.PENDING, name),
        oldest_due_seconds=None if overdue is None else -float(overdue),
        next_due_seconds=None if later is None else float(later),
        succeeded=counts.of(Status.SUCCESS, name),
        failed=counts.of(Status.FAILED, name),
        enabled=is_enabled,
        running=counts.of(Status.PROCESSING, name),
        oldest_running_seconds=None if since is None else max(0.0, -float(since)),
        cancelled=counts.of(Status.CANCELLED, name),
    )


def _owners(connection: Connection, outbox: Outbox) -> dict[str | None, int]:
    owners: dict[str | None, int] = {}
    for row in connection.execute(cluster_queries.read_owners(outbox.shards)):
        owner = row.owner if row.owner and row.seconds_left > 0 else None
        owners[owner] = owners.get(owner, 0) + 1
    return owners


def _switched_off(connection: Connection, outbox: Outbox) -> set[str]:
    """Return the names of types that are not fetched."""
    types = (*outbox.task_types.values(), *outbox.handler_types.values())
    enabled = {kind.name: kind.enabled for kind in types}
    for name, config in read_configuration(connection, outbox).items():
        if config.enabled is not None:
            enabled[name] = config.enabled
    return {name for name, is_enabled in enabled.items() if not is_enabled}


def _dead_letters(connection: Connection, outbox: Outbox, counts: TypeCounts) -> list[DeadLetter]:
    tasks, dialect = outbox.tasks, dialect_of(connection.dialect.name)
    statement = queries.latest_failed_lanes(tasks, dialect, _LATEST)
    parts = (connection.execute(statement, some) for some in _in_parts(counts.names(Status.FAILED)))
    failed = sorted((row for part in parts for row in part), key=lambda row: row[2], reverse=True)
    lanes = [(name, shard) for name, shard, _ in failed[:_LATEST]]
    if not lanes:
        return []
    latest = queries.latest_dead_letters(tasks, lanes, _LATEST, dialect)
    found = map(letter_of, connection.execute(latest))
    return sorted(found, key=lambda letter: letter.failed_at, reverse=True)[:_LATEST]
