"""Another number of shards: every task that is not settled gets its new one, while no scheduler runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from asyncflow.errors import SchedulersRunError
from asyncflow.outbox import Outbox
from asyncflow.outbox.ids import shard_of_key
from asyncflow.outbox.lines.limits import OF_A_COMMAND
from asyncflow.outbox.look_up.queries import WALK
from asyncflow.outbox.status import UNSETTLED, Status
from asyncflow.scheduler.cluster import queries as cluster_queries
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB
from asyncflow.scheduler.cluster.resharding import queries
from asyncflow.scheduler.connections.again import run_again
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.connections.engine_check import require_engine
from asyncflow.scheduler.table.shards import put_into_shards
from asyncflow.scheduler.table.table_check import require_tables

_PAGE = 5000
_LONGEST_WAIT_SECONDS = 60.0


def reshard(
    engine: Engine,
    outbox: Outbox,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
    beside: Callable[[Connection], None] = lambda _: None,
) -> int:
    """Give tasks that are not settled the shard by the outbox's ``shard_count``; return how many rows changed.

    Settled rows stay where they are: the cleaner finds them there, and a dead letter gets its shard when it is
    replayed. In pages of their own transactions, so that producers go on; the count is recorded last. A producer that
    still has a larger old count may write rows that no scheduler reads: run it again when all have the new one.
    ``on_progress`` is told how many have changed, after each page. ``beside`` is called within the transaction that
    records the count, which may be made again.

    Raises SchedulersRunError while any shard has an owner whose lease runs, and TablesMissingError.
    """
    require_engine(engine, outbox)
    require_tables(engine, outbox)
    with Database(engine, limits=OF_A_COMMAND) as database:
        _require_rest(database, outbox)
        changed = 0
        for status in UNSETTLED:
            for moved in _move_all(database, outbox, status):
                changed += moved
                on_progress(changed)
        run_again(database, lambda connection: _record(connection, outbox, beside))
        return changed


def _move_all(database: Database, outbox: Outbox, status: Status) -> Iterator[int]:
    """Move page by page; give how many rows changed of each."""
    last, moved = _move(database, outbox, status, None)
    yield moved
    while last is not None:
        last, moved = _move(database, outbox, status, last)
        yield moved


def _require_rest(database: Database, outbox: Outbox) -> None:
    leases = _running(database, outbox)
    if set_back := [left - begins_in for left, begins_in in leases.values() if begins_in > 0]:
        # The clock was set back: an owner that lives renews its lease before that is over.
        time.sleep(min(_LONGEST_WAIT_SECONDS, max(set_back)))
        leases = _running(database, outbox)
    alive = {owner for owner, (_, begins_in) in leases.items() if begins_in <= 0}
    if alive:
        raise SchedulersRunError(
            f"shard_count cannot change while schedulers run: {', '.join(sorted(alive))}; stop them all first "
            f"(the lease of one that was killed runs out by itself)"
        )


def _running(database: Database, outbox: Outbox) -> dict[str, tuple[float, float]]:
    """Return of each owner whose lease runs how many seconds of it are left, and until it begins."""
    statement = cluster_queries.read_owners(outbox.shards)
    rows = run_again(database, lambda connection: connection.execute(statement).all())
    owned = [row for row in rows if row.job == OUTBOX_JOB and row.owner and (row.seconds_left or 0) > 0]
    return {row.owner: (float(row.seconds_left), float(row.begins_in or 0)) for row in owned}


def _move(database: Database, outbox: Outbox, status: Status, after: Any) -> tuple[Any, int]:
    """Move a page; its second time, after an answer that was lost, finds what the first one has moved."""
    moves: list[int] = []

    def work(connection: Connection) -> Any:
        rows = _read(connection, outbox, status, after)
        moves.append(put_into_shards(connection, outbox, rows, outbox.shard_count))
        return rows[-1] if len(rows) == _PAGE else None

    last = run_again(database, work)
    return last, max(moves)


def _read(connection: Connection, outbox: Outbox, status: Status, after: Any) -> list[Any]:
    """Read the page behind a row. A row that was moved may be met again, where it belongs."""
    values: dict[str, Any] = {"its_status": int(status)}
    depths: Sequence[int | None] = [None]
    if after is not None:
        values |= {f"at_{name}": getattr(after, name) for name in WALK}
        depths = range(len(WALK) - 1, -1, -1)
    rows: list[Any] = []
    for depth in depths:
        if len(rows) < _PAGE:
            statement = queries.read_unsettled(outbox.tasks, depth)
            rows += connection.execute(statement, {**values, "most": _PAGE - len(rows)})
    return rows


def _record(connection: Connection, outbox: Outbox, beside: Callable[[Connection], None]) -> None:
    _move_parked(connection, outbox, connection.execute(queries.read_parked(outbox.parked_keys)).all())
    connection.execute(queries.forget_shards(outbox.shards), {"its_job": OUTBOX_JOB})
    cluster_queries.insert_shards(connection, outbox.shards, OUTBOX_JOB, outbox.shard_count)
    beside(connection)


def _move_parked(connection: Connection, outbox: Outbox, rows: Sequence[Any]) -> None:
    for row in rows:
        values = {"its_type": row.task_type, "its_key": row.task_key}
        shard = shard_of_key(row.task_key, outbox.shard_count)
        connection.execute(queries.move_parked(outbox.parked_keys), {**values, "its_shard": shard})
