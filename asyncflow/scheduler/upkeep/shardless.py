"""What is old and stands in no shard: idempotency keys, the audit, turns, counts, unique keys, inbox entries."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from asyncflow.events import AuditEntriesDeleted, IdempotencyKeysForgotten
from asyncflow.outbox.queries import delete_dedupe_keys, delete_turns, expired_dedupe_keys, spent_turns
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.upkeep.free_unique_keys import FreeUniqueKeys
from asyncflow.scheduler.upkeep.old_charts import OldCharts
from asyncflow.scheduler.upkeep.old_inbox_entries import OldInboxEntries
from asyncflow.scheduler.upkeep.queries import delete_entries, expired


class Shardless:
    """Delete it batch by batch, for all instances; used by the cleaner's thread of the first shard's owner."""

    def __init__(self, instance: Instance, database: Database) -> None:
        self._outbox = instance.outbox
        self._settings = instance.settings
        self._hooks = instance.hooks
        self._database = database
        self._limit = instance.settings.cleaning_batch
        self._old_charts = OldCharts(instance.outbox)
        self._free_unique_keys = FreeUniqueKeys(instance.outbox)
        self._old_inbox_entries = OldInboxEntries(instance, database)

    def delete(self) -> int:
        """Delete a batch of one kind; return how many rows that were, 0 if nothing is left to be deleted.

        What somebody has locked holds up its kind alone. Raises what the database raises, of that when the others are
        done.
        """
        locked: DBAPIError | None = None
        for rid in (
            self._forget_keys,
            self._delete_audit,
            partial(self._database.run, self._forget_turns),
            partial(self._delete_if_due, self._old_charts),
            partial(self._delete_if_due, self._free_unique_keys),
            self._old_inbox_entries.delete,
        ):
            try:
                if deleted := rid():
                    return deleted
            except DBAPIError as error:
                if not self._database.dialect.is_lock_wait(error):
                    raise
                locked = locked or error
        if locked is not None:
            raise locked
        return 0

    def _forget_keys(self) -> int:
        retention = self._settings.dedupe_retention_seconds
        if retention is None:
            return 0
        forgotten = self._database.run(lambda connection: self._delete_keys(connection, retention))
        if forgotten:
            self._hooks.emit(IdempotencyKeysForgotten(forgotten))
        return forgotten

    def _delete_audit(self) -> int:
        retention = self._settings.audit_retention_seconds
        if retention is None:
            return 0
        deleted = self._database.run(lambda connection: self._delete_entries(connection, retention))
        if deleted:
            self._hooks.emit(AuditEntriesDeleted(deleted))
        return deleted

    def _delete_if_due(self, old: OldCharts | FreeUniqueKeys) -> int:
        return self._database.run(lambda connection: old.delete(connection, self._limit)) if old.are_due else 0

    # -- in one transaction ------------------------------------------------------------------------------

    def _forget_turns(self, connection: Connection) -> int:
        """Delete turns that were drawn: only the counter behind them is of use.

        Whatever is declared here: messages about outcomes draw them, as the tasks ask that were enqueued before.
        """
        turns = self._outbox.turns
        numbers = connection.execute(spent_turns(turns), {"limit": self._limit}).scalars().all()
        if numbers:
            connection.execute(delete_turns(turns), {"numbers": numbers})
        return len(numbers)

    def _delete_keys(self, connection: Connection, retention: float) -> int:
        entries = self._outbox.dedupe_entries
        values = {"age": timedelta(seconds=-retention), "limit": self._limit}
        keys = connection.execute(expired_dedupe_keys(entries), values).all()
        delete_dedupe_keys(connection, entries, ((name, key) for name, key in keys))
        return len(keys)

    def _delete_entries(self, connection: Connection, retention: float) -> int:
        """Delete entries of the audit, oldest first."""
        entries, values = self._outbox.audit_entries, {"age": timedelta(seconds=-retention), "limit": self._limit}
        ids = connection.execute(expired(entries), values).scalars().all()
        return connection.execute(delete_entries(entries), {"ids": list(ids)}).rowcount if ids else 0
