"""The table of the inbox."""

from __future__ import annotations

from sqlalchemy import Column, Index, MetaData, Table

from asyncflow.outbox.clock import DatabaseTime
from asyncflow.outbox.tables.column_types import TRANSACTIONAL, exact
from asyncflow.outbox.tables.lengths import CONSUMER_LENGTH, MESSAGE_ID_LENGTH

_INBOX = "asyncflow.inbox"  # in the info of a table that is one


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
    table.info[_INBOX] = True
    return table


def inbox_tables(metadata: MetaData) -> list[Table]:
    """Return the inboxes that were added to ``metadata``, by name."""
    # Copied at one go: another thread may add a table.
    return sorted((one for one in [*metadata.tables.values()] if _INBOX in one.info), key=lambda one: one.fullname)
