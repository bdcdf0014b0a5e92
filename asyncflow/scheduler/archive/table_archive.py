"""The archive of a numbered table: a file of all of its rows, before it is dropped."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, Table

from asyncflow.outbox import Outbox
from asyncflow.scheduler.archive import queries
from asyncflow.scheduler.archive.archive_file import SUFFIX, ArchiveFile
from asyncflow.scheduler.archive.row_lines import line_of
from asyncflow.scheduler.connections.database import Database

_PAGE = 200  # rows of one member, so in memory
_SLICE_SECONDS = 1.0


class TableArchive:
    """Archive closed tables, a slice at a time, along their ids; has no state but what is on the disk.

    So whoever comes next, in this process or another one with the same directory, goes on behind the last whole page.
    """

    def __init__(self, outbox: Outbox, directory: Path) -> None:
        self._numbered = outbox.numbered_tables
        self._contexts = outbox.contexts
        self._directory = directory

    def advance(self, database: Database, number: int) -> bool:
        """Write for a second; return whether all of the table is archived. Raises OSError or ArchiveBusyError."""
        if self._numbered is None:
            return True
        table, closing = self._numbered.table(number), queries.closed_at(self._numbered.positions, number)
        first = database.run(lambda connection: connection.execute(queries.first_id(table)).scalar())
        if first is None:
            return True
        closed_at = database.run(lambda connection: connection.execute(closing).scalar())
        if closed_at is None:
            return False
        # By its first row, for a number can come again, with another table; and by when it was closed, for a database
        # that was put back to a time before has the same table open again, and other rows go into it.
        path = self._directory / f"{table.fullname}-{first}-{closed_at:%Y%m%dT%H%M%S%f}{SUFFIX}"
        if path.exists():
            return True
        file = ArchiveFile(path)
        try:
            return self._write(database, table, file)
        finally:
            file.close()

    def _write(self, database: Database, table: Table, file: ArchiveFile) -> bool:
        until = time.monotonic() + _SLICE_SECONDS
        after = None if file.last_line is None else UUID(orjson.loads(file.last_line)["id"])
        while rows := database.run(partial(self._read, table=table, after=after)):
            file.append(map(line_of, rows))
            after = rows[-1]["id"]
            if time.monotonic() >= until:
                file.sync()
                return False
        file.seal()
        return True

    def _read(self, connection: Connection, table: Table, after: UUID | None) -> list[Any]:
        statement = queries.rows_behind(table, self._contexts, is_first=after is None)
        values = {"limit": _PAGE} if after is None else {"limit": _PAGE, "after": after}
        return list(connection.execute(statement, values).mappings())
