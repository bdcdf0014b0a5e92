"""What migrations are made of: tables in SQLAlchemy's words, written by Django's schema editor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.migrations.operations.base import Operation
from sqlalchemy import Dialect, Table, make_url
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable


class CreateTables(Operation):
    """Create tables with their indexes; backwards, drop them. Django's models know nothing of them."""

    reduces_to_sql = True
    reversible = True

    def __init__(self, tables: Iterable[Table]) -> None:
        self.tables = list(tables)

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change no model."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Create them, unless the router keeps them from this database."""
        for table in self._tables_of(app_label, schema_editor):
            _execute(schema_editor, CreateTable(table))
            for index in sorted(table.indexes, key=lambda one: str(one.name)):
                _execute(schema_editor, CreateIndex(index))

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop them."""
        for table in reversed(self._tables_of(app_label, schema_editor)):
            _execute(schema_editor, DropTable(table))

    def describe(self) -> str:
        """Tell what is done."""
        return f"Create the tables {', '.join(table.name for table in self.tables)}"

    def _tables_of(self, app_label: str, schema_editor: Any) -> list[Table]:
        from django.db import router

        return self.tables if router.allow_migrate(schema_editor.connection.alias, app_label) else []


def _execute(schema_editor: Any, statement: Any) -> None:
    # None: no parameters, so that the driver looks for no places of them.
    schema_editor.execute(str(statement.compile(dialect=_dialect(schema_editor.connection.vendor))).strip(), None)


def _dialect(vendor: str) -> Dialect:
    kind: Any = make_url(f"{vendor}://").get_dialect()
    made: Dialect = kind(paramstyle="named")  # no % is doubled
    return made
