"""Another number of shards: every row gets its new one, while no scheduler runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from asyncflow.errors import SchedulersRunError
from asyncflow.outbox import Outbox
from asyncflow.outbox.ids import shard_of, shard_of_key
from asyncflow.scheduler.cluster import queries as ownership_queries
from asyncflow.scheduler.cluster import queries as reshard_queries
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB
from asyncflow.scheduler.connections.again import run_again
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.connections.engine_check import require_engine
from asyncflow.scheduler.connections.limits import OF_A_COMMAND
from asyncflow.scheduler.table.table_check import require_tables

_PAGE = 1000
_LONGEST_WAIT_SECONDS = 60.0


def reshard(engine: Engine, outbox: Outbox) -> int:
    """Give every task the shard that the outbox's ``shard_count`` gives it; return how many rows changed.

    In pages of their own transactions, so that producers go on; the count is recorded last. A producer that still has a
    larger old count may write rows that no scheduler reads: run it again when all of them have the new one.

    Raises SchedulersRunError while any shard has an owner whose lease runs, and TablesMissingError.
    """
    require_engine(engine, outbox)
    require_tables(engine, outbox)
    with Database(engine, limits=OF_A_COMMAND) as database:
        _require_rest(database, outbox)
        changed, last = 0, None
        while True:
            last, moved = _move(database, outbox, last)
            changed += moved
            if last is None:
                break
        run_again(database, lambda connection: _record(connection, outbox))
        return changed


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
    statement = ownership_queries.read_owners(outbox.shards)
    rows = run_again(database, lambda connection: connection.execute(statement).all())
    owned = [row for row in rows if row.job == OUTBOX_JOB and row.owner and (row.seconds_left or 0) > 0]
    return {row.owner: (float(row.seconds_left), float(row.begins_in or 0)) for row in owned}


def _move(database: Database, outbox: Outbox, after: Any) -> tuple[Any, int]:
    """Move a page; its second time, after an answer that was lost, finds what the first one has moved."""
    moves: list[int] = []

    def work(connection: Connection) -> Any:
        last, moved = _move_page(connection, outbox, after)
        moves.append(moved)
        return last

    last = run_again(database, work)
    return last, max(moves)


def _move_page(connection: Connection, outbox: Outbox, after: Any) -> tuple[Any, int]:
    """Move the rows of one page; return its last id, None after the last page, and how many changed."""
    rows = connection.execute(reshard_queries.read_page(outbox.tasks, after, _PAGE)).all()
    of_shards: dict[int, list[Any]] = {}
    for row in rows:
        shard = _shard_of(outbox, row)
        if shard != row.shard:
            of_shards.setdefault(shard, []).append(row.id)
    for shard, ids in sorted(of_shards.items()):
        connection.execute(reshard_queries.move(outbox.tasks), {"ids": ids, "its_shard": shard})
    return (rows[-1].id if len(rows) == _PAGE else None), sum(map(len, of_shards.values()))


def _shard_of(outbox: Outbox, row: Any) -> int:
    task_type = outbox.task_types.get(row.task_type)
    if task_type is not None and task_type.ordered and row.task_key is not None:
        return shard_of_key(row.task_key, outbox.shard_count)
    return shard_of(row.id, outbox.shard_count)


def _record(connection: Connection, outbox: Outbox) -> None:
    _move_parked(connection, outbox, connection.execute(reshard_queries.read_parked(outbox.parked_keys)).all())
    connection.execute(reshard_queries.forget_shards(outbox.shards), {"its_job": OUTBOX_JOB})
    ownership_queries.insert_shards(connection, outbox.shards, OUTBOX_JOB, outbox.shard_count)


def _move_parked(connection: Connection, outbox: Outbox, rows: Sequence[Any]) -> None:
    for row in rows:
        values = {"its_type": row.task_type, "its_key": row.task_key}
        shard = shard_of_key(row.task_key, outbox.shard_count)
        connection.execute(reshard_queries.move_parked(outbox.parked_keys), {**values, "its_shard": shard})
