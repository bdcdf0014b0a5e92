"""Selects that are joined into one statement: compiled once, and sent as text with their numbers written into it.

To compile the union of 64 selects, or to let a driver look for hundreds of parameters, takes longer than the database
needs to answer it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Select, String, bindparam, literal_column
from sqlalchemy.sql import ColumnElement

from asyncflow.outbox.dialects import DatabaseDialect, dialect_of
from asyncflow.outbox.dialects.raw_ids import GIVE_NO_BYTES, as_bytes
from asyncflow.outbox.lines.connecting import PLAIN
from asyncflow.scheduler.table.timed_ids import Cut, cut_of

_TYPE = "type_of_page_"  # the parameter of a select
TYPE: ColumnElement[str] = bindparam(_TYPE, type_=String())  # the task type that a select reads


def number(field: str) -> ColumnElement[int]:
    """Return what stands for a whole number, or several, to be written into the text."""
    return literal_column(_mark_of(field), BigInteger())


def text_of(field: str, behind: str = "") -> ColumnElement[str]:
    """Return what stands for a whole number to be written into the text as a text, with something behind it."""
    return literal_column(f"'{_mark_of(field)}{behind}'", String())


class Template(NamedTuple):
    """Hold the text of a select as a format, its parameters in their order if they have one, and those with values."""

    text: str
    names: tuple[str, ...] | None
    defaults: Mapping[str, Any]
    dialect: DatabaseDialect
    cut: Cut  # what takes the times off its ids

    @classmethod
    def of(cls, statement: Select[Any], dialect: Any, fields: Iterable[str]) -> Template:
        """Compile a select that has ``number`` columns named as the fields."""
        compiled: Any = statement.compile(dialect=dialect)
        text = str(compiled).replace("{", "{{").replace("}", "}}")
        for field in fields:
            text = text.replace(_mark_of(field), f"{{{field}}}")
        defaults = {name: value for name, value in compiled.params.items() if name != _TYPE}
        names = tuple(compiled.positiontup) if compiled.positional else None
        if names is None:
            text = text.replace(_TYPE, f"{_TYPE}{{type}}")
        return cls(text, names, defaults, dialect_of(dialect.name), cut_of(dialect.name))


def read_joined(
    connection: Connection, template: Template, fields: Iterable[Mapping[str, Any]], types: Sequence[str]
) -> Sequence[Any]:
    """Run the select once for each of the ``types``, with its ``fields``, in one statement."""
    text, names, defaults, its_dialect, _ = template
    numbers = {name: place for place, name in enumerate(dict.fromkeys(types))}
    selects = [text.format(type=numbers[name], **its) for name, its in zip(types, fields, strict=True)]
    if names is None:
        parameters: Any = {**defaults, **{f"{_TYPE}{place}": name for name, place in numbers.items()}}
    else:
        parameters = tuple(one if name == _TYPE else defaults[name] for one in types for name in names)
    return _fetched(connection, its_dialect, its_dialect.joined(selects), parameters)


def _fetched(connection: Connection, dialect: DatabaseDialect, text: str, parameters: Any) -> Sequence[Any]:
    """Return the rows of a statement that is sent as text, without an object of SQLAlchemy's for each.

    Where they are all here when the statement has answered; where more may be asked of the database, SQLAlchemy asks,
    so that its errors come as everybody else's.
    """
    # In a caller's transaction as well, whose rows may be streamed: SQLAlchemy would have read some by then.
    asked = partial(connection.exec_driver_sql, text, parameters, execution_options=PLAIN)
    rows: Sequence[Any]
    if not dialect.sends_rows_at_once:
        rows = asked().all()
    else:
        with dialect.in_binary(connection.connection.driver_connection):
            result = asked()
            rows = result.cursor.fetchall()
        result.close()
    return [tuple(map(as_bytes, row)) for row in rows] if connection.dialect.driver in GIVE_NO_BYTES else rows


def _mark_of(field: str) -> str:
    return f"<{field}>"
