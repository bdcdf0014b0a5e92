"""What waits, what failed, and who owns what: the answer to a person's question at 3 a.m."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from asyncflow.outbox import Outbox
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster import queries as ownership_queries
from asyncflow.scheduler.configuration.configurations import read_configuration
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.connections.limits import OF_A_COMMAND
from asyncflow.scheduler.heads.queries import Head, read_heads
from asyncflow.scheduler.operator import queries
from asyncflow.scheduler.operator.task_view import DeadLetter, letter_of
from asyncflow.scheduler.table.table_check import require_tables

COUNT_LIMIT = 10_000
_LATEST = 5


@dataclass(frozen=True, slots=True)
class TypeReport:
    """Tell of one task type; counts stop at COUNT_LIMIT, so that looking stays cheap."""

    task_type: str
    pending: int
    oldest_due_seconds: float | None  # how long the longest-due task waits; None if nothing is due
    next_due_seconds: float | None  # until the next delayed or retried task; None if there is none
    succeeded: int
    failed: int
    enabled: bool = True  # as far as the configuration and this process's declarations tell
    running: int = 0
    oldest_running_seconds: float | None = None  # since it was claimed, or its last checkpoint; None if none runs
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the state of one outbox."""

    types: list[TypeReport]
    owners: dict[str | None, int]  # owner to number of shards; None: shards without one, or whose lease ran out
    dead_letters: list[DeadLetter]  # the latest


def report(engine: Engine, outbox: Outbox) -> Report:
    """Read the state of the outbox in one transaction, in bounded time; raises TablesMissingError."""
    require_tables(engine, outbox)
    with Database(engine, limits=OF_A_COMMAND) as database:
        return database.run(lambda connection: _read(connection, outbox))


def _read(connection: Connection, outbox: Outbox) -> Report:
    heads = {status: read_heads(connection, outbox.tasks, status) for status in _SHOWN}
    off = _switched_off(connection, outbox)
    names = sorted({head.task_type for found in heads.values() for head in found} | off)
    owners: dict[str | None, int] = {}
    for row in connection.execute(ownership_queries.read_owners(outbox.shards)):
        owner = row.owner if row.owner and row.seconds_left > 0 else None
        owners[owner] = owners.get(owner, 0) + 1
    return Report(
        [_type_report(connection, outbox, name, heads[Status.PENDING], enabled=name not in off) for name in names],
        owners,
        _dead_letters(connection, outbox, heads[Status.FAILED]),
    )


_SHOWN = tuple(Status)


def _type_report(
    connection: Connection, outbox: Outbox, name: str, pending: list[Head], *, enabled: bool
) -> TypeReport:
    waits = [head.due_in_seconds for head in pending if head.task_type == name]
    due = [wait for wait in waits if wait <= 0]
    later = [wait for wait in waits if wait > 0]
    counts = {status: _count(connection, outbox, status, name) for status in _SHOWN}
    return TypeReport(
        task_type=name,
        pending=counts[Status.PENDING],
        oldest_due_seconds=-min(due) if due else None,
        next_due_seconds=min(later) if later else None,
        succeeded=counts[Status.SUCCESS],
        failed=counts[Status.FAILED],
        enabled=enabled,
        running=counts[Status.PROCESSING],
        oldest_running_seconds=_oldest_running(connection, outbox, name) if counts[Status.PROCESSING] else None,
        cancelled=counts[Status.CANCELLED],
    )


def _switched_off(connection: Connection, outbox: Outbox) -> set[str]:
    """Return the names of types that are not fetched."""
    types = (*outbox.task_types.values(), *outbox.handler_types.values())
    enabled = {kind.name: kind.enabled for kind in types}
    for name, config in read_configuration(connection, outbox).items():
        if config.enabled is not None:
            enabled[name] = config.enabled
    return {name for name, is_enabled in enabled.items() if not is_enabled}


def _count(connection: Connection, outbox: Outbox, status: Status, name: str) -> int:
    statement = queries.count_up_to(outbox.tasks, COUNT_LIMIT)
    return int(connection.execute(statement, {"its_status": int(status), "its_type": name}).scalar_one())


def _oldest_running(connection: Connection, outbox: Outbox, name: str) -> float | None:
    statement = queries.oldest_running(outbox.tasks, COUNT_LIMIT)
    seconds = connection.execute(statement, {"its_type": name}).scalar_one()
    return None if seconds is None else max(0.0, -seconds)


def _dead_letters(connection: Connection, outbox: Outbox, failed: list[Head]) -> list[DeadLetter]:
    statement = queries.latest_dead_letters(outbox.tasks, _LATEST)
    found: list[DeadLetter] = []
    for head in failed:
        rows = connection.execute(statement, {"its_type": head.task_type, "its_shard": head.shard})
        found += map(letter_of, rows)
    return sorted(found, key=lambda letter: letter.failed_at, reverse=True)[:_LATEST]
