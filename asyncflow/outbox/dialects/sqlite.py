"""SQLite, for demonstrations, tests and single-host applications."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sqlalchemy import Connection, Executable, Insert, Select, Table, insert, select, text, union_all
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from asyncflow.errors import AsyncflowError, NotTransactionalError, OptionError
from asyncflow.outbox.clock import now_in_microseconds
from asyncflow.outbox.dialects.counting import draw_by_insert
from asyncflow.outbox.dialects.poolers import Another
from asyncflow.outbox.dialects.protocol import HeadsOf, LaneNumbers, Limited, SessionLimits
from asyncflow.outbox.dialects.skip_scan import skip_scan_heads, skip_scan_types
from asyncflow.outbox.dialects.upsert import insert_absent
from asyncflow.text import a_type_of

_ECHO = text("SELECT :given")
_NO_JOURNAL = NotTransactionalError(
    "journal_mode is OFF, where a rollback undoes nothing for certain; PRAGMA journal_mode=WAL"
)
_MAIN_FILE = text("SELECT file FROM pragma_database_list WHERE name = 'main'")


class SQLite:
    """Read heads by a recursive skip scan; one writer at a time is the database's own rule."""

    isolation_level: str | None = None
    takes_named_types = False
    joins_lanes = False
    limits_each_lane = True
    locks_rows = False
    errors_end_transactions = False
    oldest_transactions: str | None = None
    sends_rows_at_once = False

    def heads(self, tasks: Table, status: int, *, newest: bool = False, of: HeadsOf = "all_types") -> Select[Any]:
        """Return the heads statement."""
        return skip_scan_heads(tasks, status, newest=newest, of=of)

    def heads_of_type(self, tasks: Table, status: int, shards: int) -> Executable:
        """Return the heads statement of a type."""
        return self.heads(tasks, status, of="its_type")

    def types(self, tasks: Table, status: int) -> Executable:
        """Return the types statement."""
        return skip_scan_types(tasks, status)

    def pages(self, selects: Sequence[Select[Any]]) -> Executable:
        """Join the selects by UNION ALL, each as a subquery: SQLite allows no LIMIT in a branch."""
        if len(selects) == 1:
            return selects[0]
        return union_all(*(select(page.subquery(f"page_{number}")) for number, page in enumerate(selects)))

    def lanes(self, tasks: Table, due: Select[Any], numbers: LaneNumbers) -> Select[Any] | None:
        """Return None: a page costs no planning and no round trip."""
        return None

    def joined(self, pages: Sequence[str]) -> str:
        """Join the texts of page selects as ``pages`` does."""
        return " UNION ALL ".join(f"SELECT * FROM ({page})" for page in pages) if len(pages) > 1 else pages[0]

    def insert_absent(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert by ON CONFLICT DO NOTHING."""
        return insert_absent(connection, upsert(table).on_conflict_do_nothing(), rows)

    def insert_and_hold(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert by ON CONFLICT DO NOTHING; from then on nobody else writes at all."""
        self.insert_absent(connection, table, rows)

    def draw(self, connection: Connection, turns: Table) -> int:
        """Draw an AUTOINCREMENT number."""
        return draw_by_insert(connection, turns)

    def catch_up(self, connection: Connection, turns: Table) -> None:
        """Insert the database's now; nothing if it was drawn already."""
        connection.execute(upsert(turns).values(number=now_in_microseconds()).on_conflict_do_nothing())

    def insert_many(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Mapping[str, Any]],
        statement: Insert | None = None,
    ) -> None:
        """Insert by executemany, which SQLite runs as one prepared statement."""
        connection.execute(insert(table) if statement is None else statement, [dict(row) for row in rows])

    def limit_session(self, driver_connection: Any, dialect: Any, limits: SessionLimits) -> Limited:
        """Do nothing: it waits as long as its own time-out says, and nobody is between."""
        return Limited()

    def read_whole(self, driver_connection: Any) -> Callable[[], None]:
        """Do nothing: no setting of a session cuts its reads short."""
        return lambda: None

    def skips_locked(self, dialect: Any) -> bool:
        """Tell that it has no row locks to skip."""
        return False

    def text_fault(self, connection: Connection, text: str) -> str | None:
        """Know a ``text_factory`` that makes something else of it; the file itself holds any text."""
        read = connection.execute(_ECHO, {"given": text}).scalar()
        return None if read == text else f"text is read as {a_type_of(read)}; leave text_factory as it is"

    def table_faults(self, connection: Connection, tables: Sequence[Table]) -> list[AsyncflowError]:
        """Know a connection without a journal, by which nothing can be undone."""
        cursor = connection.connection.cursor()  # not counted among the statements of a publish
        try:
            cursor.execute("PRAGMA journal_mode")
            modes = [str(row[0]).lower() for row in cursor.fetchall()]
        finally:
            cursor.close()
        return [_NO_JOURNAL] if "off" in modes else []

    def server_fault(self, connection: Connection, longest_value: int) -> AsyncflowError | None:
        """Know databases that no second connection sees as they are."""
        file = connection.execute(_MAIN_FILE).scalar()
        if file and not _is_in_memory(str(connection.engine.url)):
            return None
        return OptionError(
            "the SQLite database is in memory, where a scheduler has no connection beside the application's; "
            "give a file, such as create_engine('sqlite:///app.db')"
        )

    def pooler_fault(self, connection: Connection, another: Another) -> AsyncflowError | None:
        """Find none: nobody is between."""
        return None

    def plan_anew(self, driver_connection: Any) -> Callable[[], None]:
        """Do nothing: without ANALYZE its plans go by no counts."""
        return lambda: None

    def in_binary(self, driver_connection: Any) -> AbstractContextManager[None]:
        """Do nothing: bytes come as they are."""
        return nullcontext()

    def in_index_order(self, connection: Connection) -> None:
        """Do nothing: its plans go by no counts."""

    def correct_statistics(self, connection: Connection, table: Table, rows: int) -> None:
        """Do nothing: without ANALYZE its plans go by no counts."""

    def among(self, raw_ids: Iterable[Any]) -> str:
        """Write blob literals."""
        literals = ",".join(f"X'{bytes(raw_id).hex()}'" for raw_id in raw_ids)
        return f"IN ({literals})"

    def is_lock_wait(self, error: DBAPIError) -> bool:
        """Tell that no row's lock is waited for: its one lock is given back soon."""
        return False

    def is_elsewhere(self, error: DBAPIError) -> bool:
        """Tell that its file is nowhere else."""
        return False

    def is_refused_write(self, error: DBAPIError) -> bool:
        """Tell that its file is nowhere else."""
        return False

    def is_refusal(self, error: DBAPIError) -> bool:
        """Know broken constraints and types, and what triggers raise."""
        return isinstance(error, (IntegrityError, DataError))

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Know missing tables by their text."""
        return "no such table" in str(error.orig)

    def begin_before_savepoint(self, connection: Connection) -> None:
        """Begin, or the driver would let the release of the first savepoint commit."""
        if not getattr(connection.connection.driver_connection, "in_transaction", True):
            connection.exec_driver_sql("BEGIN")

    def has_undone(self, connection: Connection) -> bool:
        """Ask the driver: a full disk, for one, ends the transaction."""
        return not getattr(connection.connection.driver_connection, "in_transaction", True)

    def has_changed(self, connection: Connection) -> bool:
        """Return False: functions are the application's own code, and change nothing here."""
        return False

    def is_contention(self, error: DBAPIError) -> bool:
        """Know SQLITE_BUSY and SQLITE_LOCKED by their texts: error codes came with Python 3.11."""
        return any(sign in str(error.orig) for sign in ("is locked", "busy"))


def _is_in_memory(url: str) -> bool:
    return any(mark in url for mark in (":memory:", "mode=memory", "vfs=memdb"))
