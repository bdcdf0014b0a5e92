"""The shelf: the task table and those that finished tasks rolled over to, read as if they were one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, Table
from sqlalchemy.exc import DBAPIError

from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.rolling import queries
from asyncflow.outbox.rolling.numbered_tables import NumberedTables
from asyncflow.outbox.transaction.target import commits_by_itself

_ATTEMPTS = 5

StatementOf = Callable[[Table], Select[Any]]


class Shelf:
    """Read rows wherever they are; has no state, any thread uses it.

    One statement reads all tables, so a row that is moved meanwhile is read once, and not twice or never. Which tables
    there are is asked before it and behind it: a row may have gone into one that was made between the two.
    """

    def __init__(self, tasks: Table, numbered: NumberedTables | None = None) -> None:
        self.tasks = tasks
        self._numbered = numbered

    def rows(
        self,
        connection: Connection,
        statement_of: StatementOf,
        values: Mapping[str, Any],
        order: Sequence[str] = (),
        *,
        newest_first: bool = False,
    ) -> Sequence[Row[Any]]:
        """Return what a statement reads of all tables, in an order of its columns, up to ``most`` of the values."""
        if self._numbered is None:
            return connection.execute(statement_of(self.tasks), values).all()
        numbered, arranged = self._numbered, _Arrangement(order, newest_first, "most" in values)
        numbers = numbered.readable(connection)
        for _ in range(_ATTEMPTS):
            tables = [self.tasks, *map(numbered.table, numbers)]
            rows = _read(connection, tables, statement_of, arranged, values)
            known, numbers = set(numbers), numbered.readable(connection)
            if known.issuperset(numbers):
                return rows
        return rows


class _Arrangement(NamedTuple):
    """Tell in which order of which columns the rows of all tables come, and whether there are so many at most."""

    order: Sequence[str]
    newest_first: bool
    is_limited: bool

    def of(self, of_all: Any) -> Any:
        """Arrange what is read of all tables."""
        if not self.order:
            return of_all
        return queries.in_order(of_all, self.order, newest_first=self.newest_first, is_limited=self.is_limited)


def _read(
    connection: Connection,
    tables: Sequence[Table],
    statement_of: StatementOf,
    arranged: _Arrangement,
    values: Mapping[str, Any],
) -> Sequence[Row[Any]]:
    """Read tables, without those that were dropped meanwhile, or before, as an old snapshot may have it."""
    dialect = dialect_of(connection.dialect.name)
    for attempt in range(_ATTEMPTS):
        statement = dialect.pages([statement_of(table) for table in tables])
        try:
            with _apart(connection):
                return connection.execute(arranged.of(statement) if len(tables) > 1 else statement, values).all()
        except DBAPIError as error:
            if attempt == _ATTEMPTS - 1 or not dialect.is_missing_table(error):
                raise
        tables = [tables[0], *(table for table in tables[1:] if _is_there(connection, table))]
    raise AssertionError("unreachable")


def _is_there(connection: Connection, table: Table) -> bool:
    try:
        with _apart(connection):
            connection.execute(queries.any_row(table)).first()
    except DBAPIError as error:
        if dialect_of(connection.dialect.name).is_missing_table(error):
            return False
        raise
    return True


@contextmanager
def _apart(connection: Connection) -> Iterator[None]:
    """Let an error end no more than what is in the block, where it would end the caller's transaction."""
    if dialect_of(connection.dialect.name).errors_end_transactions and not commits_by_itself(connection):
        with connection.begin_nested():
            yield
    else:
        yield
