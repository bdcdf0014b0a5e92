"""Batches of tasks that a person changes: locked, changed and entered into the audit in one transaction each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine

from asyncflow.events import Hooks, TasksChanged
from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.status import Status
from asyncflow.scheduler.connections.again import run_again, run_once
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.operator import queries
from asyncflow.scheduler.operator.audit import Act
from asyncflow.scheduler.operator.changing.revived_keys import RevivedKeys
from asyncflow.scheduler.operator.selection import Selection
from asyncflow.scheduler.operator.walk import pages_of, walk_of
from asyncflow.scheduler.table.queries import read_clock
from asyncflow.scheduler.table.row_locks import hold_writers

_PAGE = 500
_MISSING = "missing"
Write = Callable[[Connection, Sequence[Any], int], "list[str]"]


@dataclass(frozen=True, slots=True)
class Changed:
    """Tell how many tasks were changed, and of those named by id and left alone their status, or ``missing``.

    Of a dead letter that was to be replayed and was not, for another task has its unique key, it tells which, whether
    it was named or not.
    """

    count: int
    left: dict[UUID, str] = field(default_factory=dict)


class _Batch(NamedTuple):
    """Hold what is to happen to some tasks, when ``done`` others were changed before."""

    ids: Sequence[UUID]
    done: int
    act: Act
    statuses: Sequence[Status]
    write: Write
    revives: bool  # the tasks wait again


class _ChangedBatch(NamedTuple):
    """Tell which tasks were changed, and of those that were not for their unique keys which tasks have these."""

    ids: set[UUID]
    taken: dict[UUID, UUID]


class Batches:
    """Change selected tasks, each batch once, though the answer to its COMMIT be lost; any thread may call."""

    def __init__(self, engine: Engine, outbox: Outbox, hooks: Hooks) -> None:
        self._engine = engine
        self._outbox = outbox
        self._tasks = outbox.tasks
        self._hooks = hooks
        self._revived = RevivedKeys(outbox)

    def change(
        self, selection: Selection, act: Act, statuses: Sequence[Status], write: Write, *, revives: bool = False
    ) -> Changed:
        """Change what is selected and in one of the statuses, by ``write``, in the order of the statuses.

        ``write`` is given the locked rows of a batch, and how many tasks were changed before; it returns of each what
        the audit tells. ``revives``: the tasks wait again, and so take their unique keys.
        """
        done = 0
        left: dict[UUID, str] = {}
        with Database(self._engine) as database:
            for ids in self._selected(database, selection, statuses):
                room = None if selection.limit is None else selection.limit - done
                if room == 0:
                    break
                batch = _Batch(ids[:room], done, act, statuses, write, revives)
                changed, taken = self._change_batch(database, batch)
                done += len(changed)
                if changed:
                    self._hooks.emit(TasksChanged(act.action, act.actor, len(changed)))
                if selection.wanted_ids is not None:
                    left |= self._left(database, set(ids) - changed)
                left |= {one: f"FAILED, and its unique key has task {holder} by now" for one, holder in taken.items()}
        return Changed(done, left)

    def _selected(
        self, database: Database, selection: Selection, statuses: Sequence[Status]
    ) -> Iterator[Sequence[UUID]]:
        """Give the ids of selected rows, page by page."""
        if (wanted := selection.wanted_ids) is not None:
            for start in range(0, len(wanted), _PAGE):
                yield wanted[start : start + _PAGE]
            return
        until = run_again(database, lambda connection: connection.execute(read_clock()).scalar_one())
        for status in statuses:
            for places in pages_of(walk_of(selection, self._outbox, status, until), database, _PAGE):
                yield [cursor.id for cursor in places]

    def _change_batch(self, database: Database, batch: _Batch) -> _ChangedBatch:
        """Change a batch once, though the answer to its COMMIT be lost."""
        tried: dict[UUID, _ChangedBatch] = {}  # by an entry of the audit, which tells whether it happened

        def work(connection: Connection) -> _ChangedBatch:
            entries, changed = self._write(connection, batch)
            tried.update(dict.fromkeys(entries[:1], changed))
            return changed

        def trace(connection: Connection) -> _ChangedBatch | None:
            for entry, changed in tried.items():
                if connection.execute(queries.is_there(self._outbox.audit_entries, entry)).first():
                    return changed
            return None

        return run_once(database, work, trace)

    def _write(self, connection: Connection, batch: _Batch) -> tuple[Sequence[UUID], _ChangedBatch]:
        """Lock, change and enter into the audit; return the ids of the entries, and what was changed."""
        hold_writers(connection, self._outbox.shards)
        asked = self._revived.ask(connection, self._named(batch.ids)["ids"]) if batch.revives else None
        taken = asked.taken if asked else {}
        lock = queries.lock(self._tasks, tuple(map(int, batch.statuses)))
        free = [task_id for task_id in batch.ids if task_id not in taken]
        rows = connection.execute(lock, self._named(free)).all() if free else []
        if asked:
            rows = [row for row in rows if asked.is_free(row)]
        if not rows:
            return [], _ChangedBatch(set(), taken)
        details = batch.write(connection, rows, batch.done)
        entries = batch.act.write(connection, self._outbox.audit_entries, rows, details)
        return entries, _ChangedBatch({row.id for row in rows}, taken)

    def _left(self, database: Database, ids: set[UUID]) -> dict[UUID, str]:
        if not ids:
            return {}
        read, named = self._outbox.shelf.rows, self._named(ids)
        rows = run_again(database, lambda connection: read(connection, queries.statuses_of, named))
        return dict.fromkeys(ids, _MISSING) | {row.id: Status(row.status).name for row in rows}

    def _named(self, ids: Iterable[UUID]) -> dict[str, Any]:
        """Return the ids as statements take them."""
        return {"ids": [raw_form(task_id, self._engine.dialect.name) for task_id in ids]}
