"""The statements about the task types' configuration, each a named function."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import Delete, Select, Table, Update, bindparam, delete, select, type_coerce, update

from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.dialects.raw_ids import Raw

_OWN_COLUMNS = {"limit": "schedule_limit"}  # of options that are reserved words


def column_of(option: str) -> str:
    """Return the name of the column that holds an option."""
    return _OWN_COLUMNS.get(option, option)


@lru_cache(maxsize=32)
def read_all(cfgs: Table, options: tuple[str, ...]) -> Select[Any]:
    """Read every row: the task type, then the values of ``options`` as the driver gives them.

    Unprocessed, for what a person wrote by hand may be of no type that a column's decoder takes.
    """
    values = (type_coerce(cfgs.c[column_of(option)], Raw()).label(option) for option in options)
    return select(cfgs.c.task_type, *values).order_by(cfgs.c.task_type)


@lru_cache(maxsize=32)
def read_one(cfgs: Table, options: tuple[str, ...]) -> Select[Any]:
    """Read the row of ``its_type``, as ``read_all`` does."""
    return read_all(cfgs, options).where(cfgs.c.task_type == bindparam("its_type"))


def change(cfgs: Table, options: Iterable[str]) -> Update:
    """Write ``options`` of ``its_type``; bind each as ``new_<option>``."""
    values: dict[str, Any] = {
        column_of(option): bindparam(f"new_{option}", type_=cfgs.c[column_of(option)].type) for option in options
    }
    wanted = cfgs.c.task_type == bindparam("its_type")
    return update(cfgs).where(wanted).values(**values, modified_at=NO_TIME)


@lru_cache(maxsize=32)
def remove(cfgs: Table) -> Delete:
    """Delete the row of ``its_type``."""
    return delete(cfgs).where(cfgs.c.task_type == bindparam("its_type"))
