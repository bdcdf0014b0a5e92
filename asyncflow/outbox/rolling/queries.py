"""The statements about positions that readers need, each a named function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Select, Table, literal, select


@lru_cache(maxsize=32)
def readable(positions: Table) -> Select[Any]:
    """Read the numbers of tables that are not forgotten, newest first; one that is ahead may be opened any time."""
    return select(positions.c.number).where(positions.c.forgotten_at.is_(None)).order_by(positions.c.number.desc())


def any_row(table: Table) -> Select[Any]:
    """Read whether there is a row, of a table that may be there no more."""
    return select(literal(1)).select_from(table).limit(1)
