"""Inbox entries that no redelivery needs any more, and their end."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection, Table, inspect
from sqlalchemy.exc import DBAPIError

from asyncflow.events import Hooks, InboxEntriesDeleted, StepFailed, StepRecovered
from asyncflow.outbox.inbox import read_expired
from asyncflow.outbox.lines.lost import is_lost
from asyncflow.outbox.queries import delete_inbox_entries
from asyncflow.outbox.tables import inbox_tables
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.instance import Instance

_LOOP = "inbox cleaner"
_REST_SECONDS = 600.0  # of a table that is not there, or that we may not clean


class _NotCleaned(Exception):  # noqa: N818 - no error of ours: it carries the server's out of the transaction
    def __init__(self, error: DBAPIError) -> None:
        super().__init__(str(error))
        self.error = error


class OldInboxEntries:
    """Delete what the inboxes of the outbox's MetaData have kept long enough; used by the cleaner's thread.

    A table that the database does not have is left alone: the inbox is another database's. One that cannot be cleaned
    holds up nothing else; it is told of as a step that fails, and tried again after a rest.
    """

    def __init__(self, instance: Instance, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._metadata = instance.outbox.tasks.metadata
        self._retention = instance.settings.inbox_retention_seconds
        self._limit = instance.settings.cleaning_batch
        self._hooks: Hooks = instance.hooks
        self._database = database
        self._clock = clock
        self._found: set[str] = set()
        self._rest_until: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def delete(self) -> int:
        """Delete a batch of one inbox that has some; return how many rows. Raises when the database is away."""
        if self._retention is None:
            return 0
        # Anew each time: an inbox may be made after the scheduler.
        for entries in inbox_tables(self._metadata):
            if self._clock() >= self._rest_until.get(entries.fullname, 0.0):
                deleted = self._delete_of(entries, timedelta(seconds=self._retention))
                if deleted:
                    self._hooks.emit(InboxEntriesDeleted(entries.fullname, deleted))
                    return deleted
        return 0

    def _delete_of(self, entries: Table, older_than: timedelta) -> int:
        work = partial(self._work, entries=entries, older_than=older_than)
        try:
            # What somebody has locked is left for another run.
            deleted = self._database.run(work, lambda _: 0)
        except _NotCleaned as refused:
            self._rest(entries)
            self._failures[entries.fullname] = self._failures.get(entries.fullname, 0) + 1
            self._hooks.emit(StepFailed(_LOOP, refused.error, _REST_SECONDS))
            return 0
        if failures := self._failures.pop(entries.fullname, 0):
            self._hooks.emit(StepRecovered(_LOOP, failures))
        return deleted

    def _work(self, connection: Connection, entries: Table, older_than: timedelta) -> int:
        try:
            return self._delete_batch(connection, entries, older_than)
        except DBAPIError as error:
            if self._is_of_the_moment(error):
                raise
            raise _NotCleaned(error) from error

    def _is_of_the_moment(self, error: DBAPIError) -> bool:
        """Tell whether it was another transaction's fault, or the server's as a whole, and nothing about this table."""
        dialect = self._database.dialect
        return dialect.is_contention(error) or is_lost(error, dialect) or dialect.is_refused_write(error)

    def _delete_batch(self, connection: Connection, entries: Table, older_than: timedelta) -> int:
        if entries.fullname not in self._found:
            if not inspect(connection).has_table(entries.name, schema=entries.schema):
                self._rest(entries)
                return 0
            self._found.add(entries.fullname)
        keys = read_expired(connection, entries, older_than, self._limit)
        delete_inbox_entries(connection, entries, keys)
        return len(keys)

    def _rest(self, entries: Table) -> None:
        self._rest_until[entries.fullname] = self._clock() + _REST_SECONDS
