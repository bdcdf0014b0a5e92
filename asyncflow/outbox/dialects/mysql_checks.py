"""What MySQL's and MariaDB's servers, sessions and tables may be set to, and what of it we cannot work under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, String, Table, bindparam, text
from sqlalchemy.exc import DBAPIError

from asyncflow.errors import AsyncflowError, CharacterSetError, NotTransactionalError, UnsupportedDatabaseError
from asyncflow.outbox.tables.column_types import APPLICATIONS

_ENGINE = "InnoDB"
_COLLATION = "utf8mb4_bin"
_ROOM_BYTES = 256 * 1024  # of a statement beside its value: thousands of ids
_LEAST_VALUE_BYTES = 512 * 1024  # rows are inserted together up to that

_CHARACTER_SETS = text("SELECT @@character_set_client, @@character_set_connection, @@character_set_results")
_VARIABLES = text("SHOW VARIABLES WHERE Variable_name IN :names").bindparams(
    bindparam("names", expanding=True, type_=String())
)
# Apart: joined, the server opens all tables of all databases for the second of them.
_HERE = "WHERE table_schema = {place} AND table_name IN :names"
_ENGINES = f"SELECT table_name, engine, @@unique_checks FROM information_schema.tables {_HERE}"
_COLLATIONS = f"SELECT table_name, column_name, collation_name FROM information_schema.columns {_HERE}"


_REMEDY = "by the driver: '...?charset=utf8mb4'"
_UNCHECKED = UnsupportedDatabaseError(
    "unique_checks is off, by which the server need not find duplicate keys, and undoes more than a statement for one; "
    "SET unique_checks = 1"
)


def text_fault(connection: Connection, given: str) -> str | None:
    """Return the character sets of a connection by which ``given`` is altered on its way there or back.

    Raises CharacterSetError, and ends the connection, if its driver could not read the answer.
    """
    sent = given.encode().hex().upper()
    echo = text(f"SELECT HEX(CONVERT(:given USING utf8mb4)), CONVERT(0x{sent} USING utf8mb4)")
    try:
        arrived, returned = connection.execute(echo, {"given": given}).one()
        if (arrived, returned) == (sent, given):
            return None
    except UnicodeDecodeError as error:  # and the rest of the answer is unread: nothing more can be asked there
        connection.invalidate()
        raise CharacterSetError(
            f"this connection is sent texts in another character set than its driver reads; have utf8mb4 for all of "
            f"it, {_REMEDY}"
        ) from error
    except UnicodeError:  # the driver cannot write it in its own character set
        pass
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
    client, between, results = connection.execute(_CHARACTER_SETS).one()
    names = ", ".join(dict.fromkeys((client, between, results)))
    return f"its character set is {names}; have utf8mb4 for all of it, {_REMEDY}"


def table_faults(connection: Connection, tables: Sequence[Table]) -> list[AsyncflowError]:
    """Return what is wrong with the engines and collations of those tables that exist."""
    faults: list[AsyncflowError] = []
    for place, group in groupby(sorted(tables, key=_place), _place):
        its = {table.name.lower(): table for table in group}  # as some servers keep names
        for name, engine, checks_keys in _read_apart(connection, _ENGINES, place, its.values()):
            faults += _engine_fault(its[name.lower()], engine)
            faults += [] if checks_keys else [_UNCHECKED]
        for name, column, collation in _read_apart(connection, _COLLATIONS, place, its.values()):
            faults += _collation_fault(its[name.lower()], column, collation)
    return faults


def _read_apart(connection: Connection, statement: str, place: str, tables: Iterable[Table]) -> list[Any]:
    """Read by the driver's own cursor: who counts the statements of a publish does not count what is asked once."""
    names = bindparam("names", [table.name for table in tables], expanding=True, type_=String())
    if place:
        asked = text(statement.format(place=":place")).bindparams(names, bindparam("place", place, type_=String()))
    else:
        asked = text(statement.format(place="DATABASE()")).bindparams(names)
    literal = asked.compile(
        dialect=connection.dialect, compile_kwargs={"literal_binds": True, "render_postcompile": True}
    )
    cursor = connection.connection.cursor()
    try:
        cursor.execute(str(literal))
        return list(cursor.fetchall())
    finally:
        cursor.close()


def _place(table: Table) -> str:
    return table.schema or ""


def _engine_fault(table: Table, engine: str | None) -> list[AsyncflowError]:
    if engine is None or engine.lower() == _ENGINE.lower():  # a view has none
        return []
    return [
        NotTransactionalError(
            f"the table {table.fullname} is of the engine {engine}, where a rollback undoes nothing; "
            f"ALTER TABLE {table.fullname} ENGINE={_ENGINE}"
        )
    ]


def _collation_fault(table: Table, column: str, collation: str | None) -> list[AsyncflowError]:
    if collation is None or column not in table.columns or collation == _COLLATION:
        return []
    if APPLICATIONS in table.columns[column].info:
        return []
    return [
        CharacterSetError(
            f"the column {table.fullname}.{column} has the collation {collation}, which alters texts or takes "
            f"different ones for equal; give it CHARACTER SET utf8mb4 COLLATE {_COLLATION}"
        )
    ]


def server_fault(connection: Connection, longest_value: int) -> AsyncflowError | None:
    """Return the first setting that we cannot work under, with its remedy."""
    names = ["log_bin", "sql_log_bin", "binlog_format", "max_allowed_packet", "sql_mode"]
    found: dict[str, str] = {row[0]: row[1] for row in connection.execute(_VARIABLES, {"names": names})}
    logs = found.get("log_bin") == found.get("sql_log_bin", "ON") == "ON"
    if logs and found.get("binlog_format") == "STATEMENT":
        return UnsupportedDatabaseError(
            "binlog_format is STATEMENT, with which the server refuses READ COMMITTED (error 1665); "
            "set binlog_format to ROW or MIXED"
        )
    if "ANSI_QUOTES" in found.get("sql_mode", "") and getattr(connection.dialect, "_server_ansiquotes", None) is False:
        return UnsupportedDatabaseError(
            "sql_mode has ANSI_QUOTES, and SQLAlchemy does not know it, for a listener sets it after the first look: "
            "no table could be read as it is; set it by connect_args={'init_command': ...}, or leave ANSI_QUOTES out"
        )
    # A driver may write bytes as hexadecimal digits.
    least = 2 * max(longest_value, _LEAST_VALUE_BYTES) + _ROOM_BYTES
    packet = int(found.get("max_allowed_packet", least))
    if packet < least:
        return UnsupportedDatabaseError(
            f"max_allowed_packet is {packet}, and a message of {longest_value} bytes takes up to {least}; "
            f"raise it, or lower Outbox(max_message_bytes=...)"
        )
    return None
