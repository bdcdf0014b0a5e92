"""The cleaner: deletes settled rows, idempotency keys and audit rows whose retention is over, little by little."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection, Table

from asyncflow.events import AuditEntriesDeleted, IdempotencyKeysForgotten, SettledRowsDeleted
from asyncflow.outbox.queries import delete_dedupe_key, delete_turns, expired_dedupe_keys, spent_turns
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster.ownership import Ownership
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head, read_heads
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.table.contexts import Contexts
from asyncflow.scheduler.table.row_locks import sort_out
from asyncflow.scheduler.upkeep import queries
from asyncflow.scheduler.upkeep.queries import delete_entries, expired
from asyncflow.scheduler.upkeep.strays import Strays


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
        self._retentions = {
            status: seconds
            for status, seconds in (
                (Status.SUCCESS, settings.success_retention_seconds),
                (Status.FAILED, settings.failed_retention_seconds),
                (Status.CANCELLED, settings.failed_retention_seconds),
            )
            if seconds is not None
        }

    def step(self) -> float:
        """Delete a batch; return the pause until the next batch, or until the next run if none was left."""
        if self.strays.put_back():
            return self._settings.cleaning_pause_seconds
        for status, heads in self._expired_heads():
            deleted = self._delete_batch(status, heads)
            if deleted:
                self._hooks.emit(SettledRowsDeleted(int(status), deleted))
                return self._settings.cleaning_pause_seconds
        if self._forget_keys() or self._delete_audit() or self._forget_turns():
            return self._settings.cleaning_pause_seconds
        # Not held until the next run: servers drop connections that are idle for long.
        self.close()
        return self._settings.cleaning_interval_seconds

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()
        self._looks.close()

    def _expired_heads(self) -> Iterator[tuple[Status, list[Head]]]:
        """Yield what to take a batch from: messages and tasks of handlers apart, for these may have contexts."""
        owned = self._ownership.epochs()
        for status, retention in self._retentions.items():
            mine = [head for head in self._heads(status) if head.shard in owned and head.due_in_seconds < -retention]
            for is_message in (True, False):
                heads = [head for head in mine if (head.task_type in self._outbox.task_types) is is_message]
                if heads:
                    yield status, heads[: min(MOST_PAGES, self._settings.cleaning_batch)]

    def _heads(self, status: Status) -> list[Head]:
        return self._looks.run(partial(read_heads, tasks=self._outbox.tasks, status=status))

    def _forget_keys(self) -> int:
        """Delete a batch of idempotency keys; who owns the first shard does, for all."""
        retention = self._settings.dedupe_retention_seconds
        if retention is None or 0 not in self._ownership.epochs():
            return 0
        forgotten = self._database.run(lambda connection: self._delete_keys(connection, retention))
        if forgotten:
            self._hooks.emit(IdempotencyKeysForgotten(forgotten))
        return forgotten

    def _delete_audit(self) -> int:
        """Delete a batch of audit rows; who owns the first shard does, for all."""
        retention = self._settings.audit_retention_seconds
        if retention is None or 0 not in self._ownership.epochs():
            return 0
        entries, limit = self._outbox.audit_entries, self._settings.cleaning_batch
        deleted = self._database.run(lambda connection: delete_expired(connection, entries, retention, limit))
        if deleted:
            self._hooks.emit(AuditEntriesDeleted(deleted))
        return deleted

    def _forget_turns(self) -> int:
        """Delete a batch of turns that were drawn, as ordered types do: only the counter behind them is of use."""
        draws = any(kind.ordered for kind in self._outbox.task_types.values())
        if not draws or 0 not in self._ownership.epochs():
            return 0
        return self._database.run(self._delete_turns)

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
        if keys:
            parameters = [{"its_type": task_type, "its_key": key} for task_type, key in keys]
            connection.execute(delete_dedupe_key(entries), parameters)
        return len(keys)

    def _delete_batch(self, status: Status, heads: list[Head]) -> int:
        delete, skips = partial(self._delete, status=status, heads=heads), self._database.skips_locked
        return self._database.run(delete, partial(delete, of_free=True) if skips else None)

    def _delete(self, connection: Connection, status: Status, heads: list[Head], *, of_free: bool = False) -> int:
        tasks, most = self._outbox.tasks, self._settings.cleaning_batch
        age, of_each = timedelta(seconds=-self._retentions[status]), -(-most // len(heads))
        ids = queries.read_expired_ids(connection, tasks, int(status), heads, age, of_each)[:most]
        if of_free:
            ids = sorted(sort_out(connection, tasks, ids, status).free)
        if not ids:
            return 0
        deleted = connection.execute(queries.delete_settled(tasks, int(status)), {"ids": ids}).rowcount
        if heads[0].task_type not in self._outbox.task_types:
            self._contexts.forget(connection, ids)
        return deleted


def delete_expired(connection: Connection, entries: Table, retention_seconds: float, limit: int) -> int:
    """Delete up to ``limit`` entries older than the retention, oldest first; return how many."""
    values = {"age": timedelta(seconds=-retention_seconds), "limit": limit}
    ids = connection.execute(expired(entries), values).scalars().all()
    return connection.execute(delete_entries(entries), {"ids": list(ids)}).rowcount if ids else 0
