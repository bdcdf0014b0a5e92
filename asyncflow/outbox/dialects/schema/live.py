"""A table as it stands in a database, told in the same words by all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Column, Table

from asyncflow.outbox.tables.column_types import APPLICATIONS, BEFORE


@dataclass(frozen=True, kw_only=True)
class LiveColumn:
    """Hold a column; ``definition`` is what gives it again without its name and its NOT NULL."""

    name: str
    type: str
    is_nullable: bool
    definition: str
    default: str | None = None  # None where it is NULL
    counts: bool = False  # numbers by itself
    is_computed: bool = False
    writes_itself: str | None = None  # by what the server gives it another value than a statement says
    sequence: str | None = None  # PostgreSQL's, which it owns whether it counts by it or not
    collation: str | None = None  # None where it is the database's own, or there is none

    @property
    def is_required(self) -> bool:
        """Tell whether a row that leaves the column out is refused."""
        return not (self.is_nullable or self.counts or self.is_computed or self.default is not None)


@dataclass(frozen=True, kw_only=True)
class LiveIndex:
    """Hold an index; a part that is not all of a column in ascending order tells so, and is no column's name."""

    name: str
    parts: tuple[str, ...]
    is_unique: bool
    fault: str | None = None  # by which it does not serve: it is not valid, or of a part of the rows
    is_constraint: bool = False

    def told(self) -> str:
        """Tell what it is on."""
        unique = "UNIQUE " if self.is_unique else ""
        return f"{unique}({', '.join(self.parts)}){f', {self.fault}' if self.fault else ''}"


@dataclass(frozen=True, kw_only=True)
class LiveTable:
    """Hold a table; ``primary_name`` is that of the constraint, ``sql`` what SQLite keeps of it."""

    columns: Mapping[str, LiveColumn]
    primary_key: tuple[str, ...]
    indexes: Mapping[str, LiveIndex]
    primary_name: str | None = None
    engine: str | None = None
    sql: str = ""
    bears_name: str | None = None  # what is there in place of a table, such as a view
    others: tuple[str, ...] = field(default=())  # statements of SQLite's indexes and triggers on it


def is_ours(column: Column[object]) -> bool:
    """Tell whether a declared column is asyncflow's, and no column of the application's own."""
    return APPLICATIONS not in column.info


def before(column: Column[object]) -> str | None:
    """Return what rows have in a column that were written before it was there; None where nobody knows."""
    value: str | None = column.info.get(BEFORE)
    return value


def forbids(index: LiveIndex, table: Table) -> bool:
    """Tell whether an index refuses rows of ours: it is unique on columns of ours that may be equal in two rows."""
    ours = {column.name for column in table.columns if is_ours(column)}
    words = {word for part in index.parts for word in re.findall(r"\w+", part)}  # one may be an expression
    return index.is_unique and bool(words & ours) and not {key.name for key in table.primary_key} <= set(index.parts)
