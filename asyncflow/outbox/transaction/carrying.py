"""What a caller's connection must be to carry tasks: texts as they are, into tables with transactions.

Nothing is asked for texts of ASCII, which every character set in use carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Table

from asyncflow.errors import CharacterSetError
from asyncflow.outbox.dialects import dialect_of
from asyncflow.text import shown

EVERY_SCRIPT = "é€я漢😀"  # of one, two, three and four bytes in UTF-8, and of no two character sets but Unicode's
_TEXTS = ("task_type", "task_key", "headers")  # what an enqueue writes
_CARRIES_ALL = "asyncflow.carries_all_texts"  # the key in info
_sound_tables: WeakKeyDictionary[Engine, set[Table]] = WeakKeyDictionary()


def require_exact(connection: Connection, texts: Iterable[str | None]) -> None:
    """Raise CharacterSetError unless the connection carries each of these texts exactly.

    Asks once for each connection of the pool; on one that does not carry every text, for each text.
    """
    risky = [text for text in texts if text is not None and not text.isascii()]
    if not risky or _carries_all(connection):
        return
    dialect = dialect_of(connection.dialect.name)
    for text in risky:
        if fault := dialect.text_fault(connection, text):
            raise CharacterSetError(f"the text {shown(text)} cannot be kept exactly by this connection: {fault}")


def require_every_text(connection: Connection) -> None:
    """Raise CharacterSetError unless the connection carries whatever it is given, and reads it."""
    if fault := dialect_of(connection.dialect.name).text_fault(connection, EVERY_SCRIPT):
        raise CharacterSetError(f"this connection does not carry every text: {fault}")


def require_sound(connection: Connection, tables: tuple[Table, ...]) -> None:
    """Raise NotTransactionalError or CharacterSetError if a table keeps what was rolled back, or alters texts.

    Asks once for each engine.
    """
    known = _sound_tables.setdefault(connection.engine, set())
    if tables[0] not in known:
        for fault in dialect_of(connection.dialect.name).table_faults(connection, tables):
            raise fault
        known.add(tables[0])


def require_carried(connection: Connection, tables: tuple[Table, ...], rows: Iterable[Mapping[str, Any]]) -> None:
    """Raise CharacterSetError or NotTransactionalError unless the rows of new tasks are kept as they are there."""
    require_sound(connection, tables)
    require_exact(connection, (row[name] for row in rows for name in _TEXTS))


def _carries_all(connection: Connection) -> bool:
    info: dict[Any, Any] = connection.info
    carries = info.get(_CARRIES_ALL)
    if carries is None:
        carries = dialect_of(connection.dialect.name).text_fault(connection, EVERY_SCRIPT) is None
        info[_CARRIES_ALL] = carries
    return bool(carries)
