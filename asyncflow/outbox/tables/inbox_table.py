"""The table of the inbox."""

from __future__ import annotations

from sqlalchemy import Column, Index, MetaData, Table

from asyncflow.outbox.clock import DatabaseTime
from asyncflow.outbox.tables.column_types import TRANSACTIONAL, exact
from asyncflow.outbox.tables.lengths import CONSUMER_LENGTH, MESSAGE_ID_LENGTH

_INBOXES = "asyncflow.inboxes"  # in the info of a MetaData; that of a table Alembic would write into a migration


def inbox_table(metadata: MetaData, name: str = "asyncflow_inbox", schema: str | None = None) -> Table:
    """Add the inbox table: which consumer has already taken which message."""
    table = Table(
        name,
        metadata,
        Column("consumer", exact(CONSUMER_LENGTH), primary_key=True),
        Column("message_id", exact(MESSAGE_ID_LENGTH), primary_key=True),
        Column("processed_at", DatabaseTime(), nullable=False),
        Index(f"ix_{name}_processed_at", "processed_at"),
        schema=schema,
        keep_existing=True,
        **TRANSACTIONAL,
    )
    metadata.info.setdefault(_INBOXES, {})[table.fullname] = True
    return table


def inbox_tables(metadata: MetaData) -> list[Table]:
    """Return the inboxes that were added to ``metadata``, by name."""
    # Copied at one go: another thread may add a table.
    names = sorted([*metadata.info.get(_INBOXES, ())])
    return [metadata.tables[name] for name in names if name in metadata.tables]
