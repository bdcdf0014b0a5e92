"""The statements about positions, and about several tables together, that readers need, each a named function."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, Select, Table, bindparam, literal, select


@lru_cache(maxsize=32)
def readable(positions: Table) -> Select[Any]:
    """Read the numbers of tables that are not forgotten, newest first; one that is ahead may be opened any time."""
    return select(positions.c.number).where(positions.c.forgotten_at.is_(None)).order_by(positions.c.number.desc())


def any_row(table: Table) -> Select[Any]:
    """Read whether there is a row, of a table that may be there no more."""
    return select(literal(1)).select_from(table).limit(1)


def in_order(of_all: Any, order: Sequence[str], *, newest_first: bool, is_limited: bool) -> Select[Any]:
    """Read what is read of all tables by columns of it, up to ``most`` rows or all."""
    rows = of_all.subquery("of_all")
    columns = [rows.c[name].desc() if newest_first else rows.c[name] for name in order]
    ordered = select(rows).order_by(*columns)
    return ordered.limit(bindparam("most", type_=Integer())) if is_limited else ordered
