"""The cleaner: deletes settled rows, keys, audit rows and inbox entries whose retention is over, little by little.

With roll-over, tasks that are over for good are moved in place of that.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, Table

from asyncflow.events import AuditEntriesDeleted, IdempotencyKeysForgotten, SettledRowsDeleted, TasksRolledOver
from asyncflow.outbox.queries import delete_dedupe_keys, delete_turns, expired_dedupe_keys, spent_turns
from asyncflow.outbox.status import Status
from asyncflow.scheduler.archive.archive import Archive, RowsNotArchived
from asyncflow.scheduler.cluster.ownership import Ownership
from asyncflow.scheduler.heads.parts import HeadParts
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.table.contexts import Contexts
from asyncflow.scheduler.table.queries import delete_in_status, lock_free
from asyncflow.scheduler.table.row_locks import hold_writers, sort_out
from asyncflow.scheduler.upkeep import queries
from asyncflow.scheduler.upkeep.cleaning_pace import CleanedBatch, CleaningPace
from asyncflow.scheduler.upkeep.expired_lanes import ExpiredBatch, ExpiredLanes
from asyncflow.scheduler.upkeep.free_unique_keys import FreeUniqueKeys
from asyncflow.scheduler.upkeep.old_charts import OldCharts
from asyncflow.scheduler.upkeep.old_inbox_entries import OldInboxEntries
from asyncflow.scheduler.upkeep.queries import delete_entries, expired
from asyncflow.scheduler.upkeep.rolling.mover import Moved, MoveRefused, TableClosed
from asyncflow.scheduler.upkeep.rolling.rolling import Rolling
from asyncflow.scheduler.upkeep.strays import Strays


class _Cleaned(NamedTuple):
    """Tell of how many rows the task table was rid, in which lanes there may be more, and whether they were moved."""

    rows: int
    full: Sequence[Head]
    moved: Moved | None = None


class Cleaner:
    """Delete one batch a step, of owned shards only; one thread steps it.

    A batch is taken from many shards at once: one of each would be as many transactions and pauses as there are shards.
    Rows are found by an unlocked read and deleted by primary key, so that no gap is locked against an enqueue.
    """

    def __init__(
        self, instance: Instance, ownership: Ownership, on_put_back: Callable[[], None] = lambda: None
    ) -> None:
        self._outbox = instance.outbox
        self._contexts = Contexts(instance.outbox)
        self._database = instance.database()
        self._looks = instance.database(autocommit=True)
        self.strays = Strays(instance, self._database, ownership, on_put_back)
        self._ownership = ownership
        self._settings = settings = instance.settings
        self._hooks = instance.hooks
        self._archive = Archive.of(instance)
        self._rolling = Rolling.of(instance, self._archive)
        self._retentions = _retentions(settings) | self._rolling.ages
        outbox, looks = instance.outbox, self._looks.run
        parts = {status: HeadParts(looks, outbox.tasks, status, outbox.shard_count) for status in self._retentions}
        most = min(MOST_PAGES, settings.cleaning_batch)
        self.pace = CleaningPace(settings.cleaning_pause_seconds, instance.lately.lag_seconds)
        self._old_charts = OldCharts(outbox)
        self._free_unique_keys = FreeUniqueKeys(outbox)
        self._old_inbox_entries = OldInboxEntries(instance, self._database)
        self._expired = ExpiredLanes(outbox, parts, self._retentions, ownership.epochs, most)

    def step(self) -> float:
        """Delete a batch; return the pause until the next batch, or until the next run if none was left."""
        if self.strays.put_back():
            return self._settings.cleaning_pause_seconds
        if self._rolling.is_due and self._owns_first_shard():
            self.close()  # a pool may have no connection more
            self._rolling.keep()
        while batch := self._expired.next():
            if self._clean(batch):
                return self.pace.pause_seconds
        self.pace.note_nothing_left()
        if self._owns_first_shard() and self._delete_for_all():
            return self._settings.cleaning_pause_seconds
        # Not held until the next run: servers drop connections that are idle for long.
        self.close()
        if self._rolling.is_archiving and self._owns_first_shard():  # a table is, a slice at a time
            return self._settings.cleaning_pause_seconds
        return self._settings.cleaning_interval_seconds

    def put_in_order(self) -> None:
        """Let ordered types begin in order, before anything of them is sent."""
        try:
            self.strays.put_in_order()
        finally:
            self.close()  # another thread goes on

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()
        self._looks.close()

    def end(self) -> None:
        """Give back what is held, and end the file of the archive."""
        if self._archive is not None:
            self._archive.close()
        self.close()

    def _owns_first_shard(self) -> bool:
        """Tell whether what belongs to no shard is ours: who owns the first one deletes it, for all."""
        return 0 in self._ownership.epochs()

    def _delete_for_all(self) -> int:
        """Delete a batch of what belongs to no shard."""
        return (
            self._forget_keys()
            or self._delete_audit()
            or self._forget_turns()
            or self._delete_charts()
            or self._delete_unique_keys()
            or self._old_inbox_entries.delete()
        )

    def _forget_keys(self) -> int:
        """Delete a batch of idempotency keys."""
        retention = self._settings.dedupe_retention_seconds
        if retention is None:
            return 0
        forgotten = self._database.run(lambda connection: self._delete_keys(connection, retention))
        if forgotten:
            self._hooks.emit(IdempotencyKeysForgotten(forgotten))
        return forgotten

    def _delete_audit(self) -> int:
        """Delete a batch of audit rows."""
        retention = self._settings.audit_retention_seconds
        if retention is None:
            return 0
        entries, limit = self._outbox.audit_entries, self._settings.cleaning_batch
        deleted = self._database.run(lambda connection: delete_expired(connection, entries, retention, limit))
        if deleted:
            self._hooks.emit(AuditEntriesDeleted(deleted))
        return deleted

    def _forget_turns(self) -> int:
        """Delete a batch of turns that were drawn: only the counter behind them is of use.

        Whatever is declared here: messages about outcomes draw them, as the tasks ask that were enqueued before.
        """
        return self._database.run(self._delete_turns)

    def _delete_charts(self) -> int:
        """Delete a batch of counts that no chart shows any more."""
        if not self._old_charts.are_due:
            return 0
        limit = self._settings.cleaning_batch
        return self._database.run(lambda connection: self._old_charts.delete(connection, limit))

    def _delete_unique_keys(self) -> int:
        """Look at a page of unique keys, and delete those that no task holds any more."""
        if not self._free_unique_keys.are_due:
            return 0
        limit = self._settings.cleaning_batch
        return self._database.run(lambda connection: self._free_unique_keys.delete(connection, limit))

    def _delete_turns(self, connection: Connection) -> int:
        turns = self._outbox.turns
        numbers = connection.execute(spent_turns(turns), {"limit": self._settings.cleaning_batch}).scalars().all()
        if numbers:
            connection.execute(delete_turns(turns), {"numbers": numbers})
        return len(numbers)

    def _delete_keys(self, connection: Connection, retention: float) -> int:
        entries = self._outbox.dedupe_entries
        values = {"age": timedelta(seconds=-retention), "limit": self._settings.cleaning_batch}
        keys = connection.execute(expired_dedupe_keys(entries), values).all()
        delete_dedupe_keys(connection, entries, ((name, key) for name, key in keys))
        return len(keys)

    def _clean(self, batch: ExpiredBatch) -> int:
        delete, skips = partial(self._delete, batch=batch), self._database.skips_locked
        began = time.monotonic()
        if self._is_held_up(batch):
            return 0
        try:
            done = self._database.run(delete, partial(delete, of_free=True) if skips else None)
        except TableClosed:
            return 0  # the next look finds the rows again, and the table that is open then
        except RowsNotArchived:
            return 0  # they stay, and all else is cleaned meanwhile
        except MoveRefused as refused:
            self._rolling.tell(refused)
            return 0  # all else is cleaned meanwhile
        if done.rows:
            self._expired.note_deleted(done.full)
            kept = self._retentions[batch.status]
            self.pace.note(CleanedBatch(done.rows, time.monotonic() - began, batch.oldest_seconds - kept, kept))
        if done.moved is not None and done.rows:
            self._rolling.note(done.moved)
            self._hooks.emit(TasksRolledOver(done.moved.table, done.rows))
        elif done.rows:
            self._hooks.emit(SettledRowsDeleted(int(batch.status), done.rows))
        return done.rows

    def _is_held_up(self, batch: ExpiredBatch) -> bool:
        """Tell whether the rows would have to be archived, and cannot be."""
        archive = self._archive
        return archive is not None and archive.is_held_up and batch.status not in self._rolling.ages

    def _delete(self, connection: Connection, batch: ExpiredBatch, *, of_free: bool = False) -> _Cleaned:
        """Delete a batch, or move it."""
        tasks, most, (status, heads) = self._outbox.tasks, self._settings.cleaning_batch, batch
        age, of_each = timedelta(seconds=-self._retentions[status]), -(-most // len(heads))
        found = queries.read_expired(connection, tasks, int(status), heads, age, of_each)
        counts = Counter(number for _, number in found)
        full = [head for number, head in enumerate(heads) if counts[number] == of_each]
        ids = [raw_id for raw_id, _ in found[:most]]
        if of_free:
            ids = sorted(sort_out(connection, tasks, ids, status).free)
        if not ids:
            return _Cleaned(0, full)
        if status in self._rolling.ages:
            moved = self._rolling.move(connection, ids, status)
            return _Cleaned(0 if moved is None else moved.rows, full, moved)
        has_contexts = heads[0].task_type not in self._outbox.task_types
        if (has_contexts or self._archive) and not of_free:
            # Another instance may have moved some since they were read, or a person changed them.
            hold_writers(connection, self._outbox.shards)
            named = {"ids": sorted(ids), "its_status": int(status)}
            ids = sorted(connection.execute(lock_free(tasks, skip_locked=False), named).scalars())
            if not ids:
                return _Cleaned(0, full)
        if self._archive is not None:
            self._archive.write(connection, ids)
        deleted = connection.execute(delete_in_status(tasks, int(status)), {"ids": ids}).rowcount
        if has_contexts:
            self._contexts.forget(connection, ids)
        return _Cleaned(deleted, full)


def _retentions(settings: SchedulerSettings) -> dict[Status, float]:
    given = (
        (Status.SUCCESS, settings.success_retention_seconds),
        (Status.FAILED, settings.failed_retention_seconds),
        (Status.CANCELLED, settings.failed_retention_seconds),
    )
    return {status: seconds for status, seconds in given if seconds is not None}


def delete_expired(connection: Connection, entries: Table, retention_seconds: float, limit: int) -> int:
    """Delete up to ``limit`` entries older than the retention, oldest first; return how many."""
    values = {"age": timedelta(seconds=-retention_seconds), "limit": limit}
    ids = connection.execute(expired(entries), values).scalars().all()
    return connection.execute(delete_entries(entries), {"ids": list(ids)}).rowcount if ids else 0
