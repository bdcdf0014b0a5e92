"""The archive of rows that are deleted one by one: a file a day for each process."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.scheduler.archive import queries
from asyncflow.scheduler.archive.archive_file import SUFFIX, ArchiveFile, seal_left
from asyncflow.scheduler.archive.row_lines import line_of

_AT_ONCE = 100  # rows of one member, so in memory


def today() -> date:
    """Return the day, by UTC."""
    return datetime.now(timezone.utc).date()


class RowArchive:
    """Write rows on the caller's connection, before their delete commits; used by one thread.

    A delete that does not commit leaves its rows in the archive, and they come again.
    """

    def __init__(self, outbox: Outbox, directory: Path, day: Callable[[], date] = today) -> None:
        self._outbox = outbox
        self._directory = directory
        self._day = day
        self._file: ArchiveFile | None = None
        self._file_day: date | None = None

    def write(self, connection: Connection, raw_ids: Sequence[Any]) -> None:
        """Write rows, and return when they are on the disk; raises OSError."""
        file = self._open()
        statement = queries.rows_named(self._outbox.tasks, self._outbox.contexts)
        for start in range(0, len(raw_ids), _AT_ONCE):
            rows = connection.execute(statement, {"ids": sorted(raw_ids[start : start + _AT_ONCE])}).mappings()
            self._append(file, map(line_of, rows))
        file.sync()

    def seal(self) -> None:
        """End the file that was begun."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.seal()
            finally:
                file.close()

    def close(self) -> None:
        """Close the file as it is, to be sealed by another."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _append(self, file: ArchiveFile, lines: Iterable[bytes]) -> None:
        if written := list(lines):
            file.append(written)

    def _open(self) -> ArchiveFile:
        day = self._day()
        if self._file is not None and self._file_day != day:
            self.seal()
        if self._file is None:
            prefix = f"{self._outbox.tasks.fullname}-rows-"
            seal_left(self._directory, prefix)
            own = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
            self._file = ArchiveFile(self._directory / f"{prefix}{day:%Y%m%d}-{own}{SUFFIX}")
            self._file_day = day
        return self._file
