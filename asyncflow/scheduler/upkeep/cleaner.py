"""The cleaner: deletes settled rows whose retention is over, little by little, and what else is old.

With roll-over, tasks that are over for good are moved in place of that.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from asyncflow.events import SettledRowsDeleted, StepFailed, TasksRolledOver
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
from asyncflow.scheduler.upkeep.rolling.mover import Moved, MoveRefused, TableClosed
from asyncflow.scheduler.upkeep.rolling.rolling import Rolling
from asyncflow.scheduler.upkeep.shardless import Shardless
from asyncflow.scheduler.upkeep.strays import Strays

_MOST_TIMES = 4  # as many rows as are set


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
        lag, rows = instance.lately.lag_seconds, settings.cleaning_batch
        self.pace = CleaningPace(settings.cleaning_pause_seconds, lag, rows, self._most_rows(rows))
        self._shardless = Shardless(instance, self._database)
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
        if self._owns_first_shard() and self._shardless.delete():
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

    def _most_rows(self, rows: int) -> int:
        """Return how many rows a batch may have that grows."""
        if not self._database.dialect.locks_rows:
            return rows  # all writers wait for the whole transaction
        return max(rows, int(min(_MOST_TIMES * rows, self._rolling.most_rows)))

    def _owns_first_shard(self) -> bool:
        """Tell whether what belongs to no shard is ours: who owns the first one deletes it, for all."""
        return 0 in self._ownership.epochs()

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
        except DBAPIError as error:
            if not self._may_delete_apart(batch, error):
                raise
            self._hooks.emit(StepFailed("cleaner", error, 0.0))
            done = self._database.run(partial(delete, apart=True))
        if done.rows:
            self._expired.note_deleted(done.full)
            kept = self._retentions[batch.status]
            behind, took = batch.oldest_seconds - kept, time.monotonic() - began
            self.pace.note(CleanedBatch(done.rows, took, behind, kept, bool(done.full)))
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

    def _may_delete_apart(self, batch: ExpiredBatch, error: DBAPIError) -> bool:
        """Tell whether it is some of the rows that the database does not let go: others may refer to them."""
        is_deleted = self._archive is None and batch.status not in self._rolling.ages
        return is_deleted and self._database.dialect.is_refusal(error)

    def _delete(
        self, connection: Connection, batch: ExpiredBatch, *, of_free: bool = False, apart: bool = False
    ) -> _Cleaned:
        """Delete a batch, or move it; ``apart``: row by row, without those that the database does not let go."""
        tasks, most, (status, heads) = self._outbox.tasks, self.pace.rows, batch
        age, of_each = timedelta(seconds=-self._retentions[status]), -(-most // len(heads))
        found = queries.read_expired(connection, tasks, int(status), heads, age, of_each)
        counts = Counter(number for _, number in found)
        full = [head for number, head in enumerate(heads) if counts[number] == of_each]
        ids = [raw_id for raw_id, _ in found[:most]]
        has_contexts = heads[0].task_type not in self._outbox.task_types
        if of_free:
            free = sort_out(connection, tasks, ids, status).free
            ids = sorted(free - self._contexts.locked(connection, sorted(free)) if has_contexts else free)
        if not ids:
            return _Cleaned(0, full)
        if status in self._rolling.ages:
            moved = self._rolling.move(connection, ids, status)
            return _Cleaned(0 if moved is None else moved.rows, full, moved)
        if (has_contexts or self._archive) and not of_free:
            ids = self._locked(connection, ids, status)
        if not ids:
            return _Cleaned(0, full)
        if self._archive is not None:
            self._archive.write(connection, ids)
        done = (self._delete_each if apart else self._delete_all)(connection, ids, status)
        if has_contexts:
            # Whatever names several may read the whole of a small table, and wait for what others have locked there.
            for some in ([one] for one in ids) if of_free else (ids,):
                self._contexts.forget(connection, some)
        return _Cleaned(done, full)

    def _delete_all(self, connection: Connection, ids: Sequence[Any], status: Status) -> int:
        return connection.execute(delete_in_status(self._outbox.tasks, int(status)), {"ids": list(ids)}).rowcount

    def _delete_each(self, connection: Connection, ids: Sequence[Any], status: Status) -> int:
        dialect, deleted = self._database.dialect, 0
        dialect.begin_before_savepoint(connection)
        for raw_id in ids:
            try:
                with connection.begin_nested():
                    deleted += self._delete_all(connection, [raw_id], status)
            except DBAPIError as error:
                if not dialect.is_refusal(error):
                    raise
        return deleted

    def _locked(self, connection: Connection, ids: Sequence[Any], status: Status) -> list[Any]:
        """Lock what is there still: another instance may have moved some since they were read, or a person did."""
        hold_writers(connection, self._outbox.shards)
        named = {"ids": sorted(ids), "its_status": int(status)}
        return sorted(connection.execute(lock_free(self._outbox.tasks, skip_locked=False), named).scalars())


def _retentions(settings: SchedulerSettings) -> dict[Status, float]:
    given = (
        (Status.SUCCESS, settings.success_retention_seconds),
        (Status.FAILED, settings.failed_retention_seconds),
        (Status.CANCELLED, settings.failed_retention_seconds),
    )
    return {status: seconds for status, seconds in given if seconds is not None}
