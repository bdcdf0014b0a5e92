"""The tables of roll-over: the positions, and the numbered tables, which no application declares."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table

from asyncflow.outbox.clock import DatabaseTime
from asyncflow.outbox.tables.column_types import APPLICATIONS, BEFORE, TRANSACTIONAL


def position_table(metadata: MetaData, name: str = "asyncflow_schedule_pos", schema: str | None = None) -> Table:
    """Add the table of positions: the numbered tables that there are, how many rows went into each, and since when.

    One that is made ahead is not ``opened_at`` any time; the newest is opened and not closed; nobody reads what is
    forgotten, which is dropped next.
    """
    return Table(
        name,
        metadata,
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("row_count", BigInteger, nullable=False),
        Column("opened_at", DatabaseTime(), nullable=True),
        Column("closed_at", DatabaseTime(), nullable=True),
        Column("forgotten_at", DatabaseTime(), nullable=True),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )


def numbered_table(tasks: Table, number: int) -> Table:
    """Return the table with a number that takes rows of ``tasks``: the same columns, and our indexes."""
    name = f"{tasks.name}_{number}"
    numbered = Table(name, MetaData(), *map(_copy, tasks.columns), schema=tasks.schema, **TRANSACTIONAL)
    prefix = f"ix_{tasks.name}_"
    for index in tasks.indexes:
        if str(index.name).startswith(prefix):
            columns = (numbered.columns[column.name] for column in index.columns)
            Index(f"ix_{name}_{str(index.name).removeprefix(prefix)}", *columns)
    return numbered


def _copy(column: Column[object]) -> Column[object]:
    # Without defaults, constraints and keys to other tables, which hold of what is written anew.
    is_theirs = APPLICATIONS in column.info
    kept = {name: column.info[name] for name in (APPLICATIONS, BEFORE) if name in column.info}
    return Column(
        column.name,
        column.type,
        primary_key=column.primary_key,
        nullable=column.nullable or is_theirs,
        autoincrement=False,
        info=kept,
    )
