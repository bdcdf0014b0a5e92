"""The archive of one instance: what is to be deleted goes there first, and stays where it is if it cannot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from asyncflow.errors import ArchiveBusyError
from asyncflow.events import ArchiveGoesOn, ArchiveHeldUp
from asyncflow.scheduler.archive.row_archive import RowArchive
from asyncflow.scheduler.archive.table_archive import TableArchive
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.instance import Instance

_PATIENCE_SECONDS = 10.0  # before what failed is tried again
_TELL_AGAIN_SECONDS = 600.0


class RowsNotArchived(Exception):  # noqa: N818 - no error: the cleaner catches it
    """Rows could not be archived; what would have deleted them is to be rolled back."""


class Archive:
    """Archive rows and tables, and tell what keeps it from that; used by the cleaner's thread."""

    def __init__(self, instance: Instance, directory: str, clock: Callable[[], float] = time.monotonic) -> None:
        path = Path(directory)
        self._place = str(path)
        self._hooks = instance.hooks
        self._rows = RowArchive(instance.outbox, path)
        self._tables = TableArchive(instance.outbox, path)
        self._clock = clock
        self._held_until = float("-inf")
        self._told_at: float | None = None  # since what was told is so

    @classmethod
    def of(cls, instance: Instance) -> Archive | None:
        """Return that of an instance; None if it has none."""
        directory = instance.settings.archive_directory
        return None if directory is None else cls(instance, directory)

    @property
    def is_held_up(self) -> bool:
        """Tell whether it could not go on a moment ago."""
        return self._clock() < self._held_until

    def write(self, connection: Connection, raw_ids: Sequence[Any]) -> None:
        """Return when the rows are on the disk; raises RowsNotArchived."""
        try:
            self._rows.write(connection, raw_ids)
        except (OSError, ArchiveBusyError) as error:
            self._rows.close()
            self._hold_up(error)
            raise RowsNotArchived from error
        self._go_on()

    def advance(self, database: Database, number: int) -> bool:
        """Archive more of a numbered table; return whether it may be dropped."""
        if self.is_held_up:
            return False
        try:
            is_whole = self._tables.advance(database, number)
        except ArchiveBusyError:
            self._held_until = self._clock() + _PATIENCE_SECONDS  # another instance is at it
            return False
        except OSError as error:
            self._hold_up(error)
            return False
        self._go_on()
        return is_whole

    def close(self) -> None:
        """End the file that was begun; what cannot be ended now is, when a file is begun the next time."""
        try:
            self._rows.seal()
        except OSError as error:
            self._hold_up(error)

    def _hold_up(self, error: Exception) -> None:
        now = self._clock()
        self._held_until = now + _PATIENCE_SECONDS
        if self._told_at is None or now - self._told_at >= _TELL_AGAIN_SECONDS:
            self._told_at = now
            self._hooks.emit(ArchiveHeldUp(self._place, f"{type(error).__name__}: {error}"))

    def _go_on(self) -> None:
        if self._told_at is not None:
            self._told_at = None
            self._hooks.emit(ArchiveGoesOn(self._place))
