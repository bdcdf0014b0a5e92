"""The schema's look into tables: how many rows they have, and whether a column has NULL in them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import FromClause, Select, Table, column, func, literal, select
from sqlalchemy.sql.expression import table as named_table


def rows(table: Table, most: int) -> Select[Any]:
    """Count the rows, at most ``most``."""
    some = select(literal(1)).select_from(_bare(table)).limit(most).subquery()
    return select(func.count()).select_from(some)


def with_null(table: Table, name: str) -> Select[Any]:
    """Find a row in which a column is NULL."""
    return select(literal(1)).select_from(_bare(table)).where(column(name).is_(None)).limit(1)


def _bare(table: Table) -> FromClause:
    return named_table(table.name, schema=table.schema) if table.schema else named_table(table.name)
