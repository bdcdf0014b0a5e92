"""Numbers drawn by inserting rows, for databases whose automatic keys never step back."""

from __future__ import annotations

from sqlalchemy import Connection, Table, insert


def draw_by_insert(connection: Connection, turns: Table) -> int:
    """Insert a row; its key is greater than all that there were."""
    key = connection.execute(insert(turns)).inserted_primary_key
    assert key is not None
    number: int = key[0]
    return number
