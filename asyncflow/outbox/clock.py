"""The database's clock, the only one by which due times and leases are told.

Times are bound as a ``timedelta`` from the database's now and read as aware UTC datetimes. A process cannot
write its own clock into a task even by mistake, and no session time zone or daylight saving can shift one.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Float, literal_column, type_coerce
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

MAX_DELAY_SECONDS = 3650 * 86400.0  # ten years: no database's calendar ends before
NO_TIME = timedelta(0)  # from the database's now: the moment of writing
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """Hold an absolute moment; aware in Python, UTC in the database, microseconds where it keeps them."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the widest time type: MySQL drops the fraction unless told."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes, whose meaning depends on the machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the datetime {value!r} has no time zone; use datetime.now(timezone.utc)")
        utc = value.astimezone(timezone.utc)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment as an aware UTC datetime."""
        if value is None:
            return None
        return value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc)


class DatabaseTime(Instant):
    """Write a moment as a ``timedelta`` from the database's now; read it as a datetime."""

    cache_ok = True

    def bind_expression(self, bindvalue: Any) -> ColumnElement[Any]:
        """Wrap each bound offset into the database's clock."""
        return after_now(type_coerce(bindvalue, _Offset()))

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        """Let a query compare with an absolute datetime as well."""
        return Instant() if isinstance(value, datetime) else self


class _Offset(TypeDecorator[timedelta]):
    """Bind a timedelta as whole microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int:
        if isinstance(value, timedelta):
            return value // _MICROSECOND
        raise TypeError(f"a time is written as a timedelta from the database's now, not as {value!r}")


class after_now(FunctionElement[datetime]):  # noqa: N801 - a SQL function's name
    """Compile to the database's now plus a bound number of microseconds.

    Each form is constant within its statement, so that the index serves ``order_time <= now``.
    """

    type = Instant()
    inherit_cache = True
    name = "after_now"


def database_now() -> ColumnElement[datetime]:
    """Return the database's now."""
    return after_now(literal_column("0", BigInteger()))


@compiles(after_now, "mysql")
@compiles(after_now, "mariadb")
def _mysql(element: after_now, compiler: Any, **kw: Any) -> str:
    # UTC_TIMESTAMP, unlike NOW, does not depend on the session's time zone.
    return f"(UTC_TIMESTAMP(6) + INTERVAL {_argument(element, compiler, kw)} MICROSECOND)"


@compiles(after_now, "postgresql")
def _postgresql(element: after_now, compiler: Any, **kw: Any) -> str:
    # Not now(): it stands still in a transaction, and a late publish would be ordered before its time.
    return f"(statement_timestamp() + {_argument(element, compiler, kw)} * interval '1 microsecond')"


@compiles(after_now, "sqlite")
def _sqlite(element: after_now, compiler: Any, **kw: Any) -> str:
    # The text form of SQLAlchemy's DateTime, so that stored and computed times compare as text.
    offset = f"printf('%+.6f seconds', {_argument(element, compiler, kw)} / 1000000.0)"
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {offset})"


def _argument(element: FunctionElement[Any], compiler: Any, kw: dict[str, Any]) -> str:
    text: str = compiler.process(element.clauses, **kw)
    return text


class now_in_microseconds(FunctionElement[int]):  # noqa: N801 - a SQL function's name
    """Compile to the database's now as whole microseconds since 1970."""

    type = BigInteger()
    inherit_cache = True
    name = "now_in_microseconds"


@compiles(now_in_microseconds, "mysql")
@compiles(now_in_microseconds, "mariadb")
def _mysql_microseconds(element: now_in_microseconds, compiler: Any, **kw: Any) -> str:
    return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"


@compiles(now_in_microseconds, "postgresql")
def _postgresql_microseconds(element: now_in_microseconds, compiler: Any, **kw: Any) -> str:
    return "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint"


@compiles(now_in_microseconds, "sqlite")
def _sqlite_microseconds(element: now_in_microseconds, compiler: Any, **kw: Any) -> str:
    return (
        "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000)"
    )


class seconds_until(FunctionElement[float]):  # noqa: N801 - a SQL function's name
    """Compile to the seconds from the database's now until a time; negative for one that has passed."""

    type = Float()
    inherit_cache = True
    name = "seconds_until"


@compiles(seconds_until, "mysql")
@compiles(seconds_until, "mariadb")
def _mysql_until(element: seconds_until, compiler: Any, **kw: Any) -> str:
    return f"TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), {_argument(element, compiler, kw)}) / 1e6"


@compiles(seconds_until, "postgresql")
def _postgresql_until(element: seconds_until, compiler: Any, **kw: Any) -> str:
    return f"EXTRACT(EPOCH FROM {_argument(element, compiler, kw)} - statement_timestamp())::float8"


@compiles(seconds_until, "sqlite")
def _sqlite_until(element: seconds_until, compiler: Any, **kw: Any) -> str:
    return f"((julianday({_argument(element, compiler, kw)}) - julianday('now')) * 86400.0)"


class epoch_seconds(FunctionElement[float]):  # noqa: N801 - a SQL function's name
    """Compile to the seconds from 1970 to a time, the same for the same stored value."""

    type = Float()
    inherit_cache = True
    name = "epoch_seconds"


@compiles(epoch_seconds, "mysql")
@compiles(epoch_seconds, "mariadb")
def _mysql_epoch(element: epoch_seconds, compiler: Any, **kw: Any) -> str:
    return f"TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', {_argument(element, compiler, kw)}) / 1e6"


@compiles(epoch_seconds, "postgresql")
def _postgresql_epoch(element: epoch_seconds, compiler: Any, **kw: Any) -> str:
    return f"EXTRACT(EPOCH FROM {_argument(element, compiler, kw)})::float8"


@compiles(epoch_seconds, "sqlite")
def _sqlite_epoch(element: epoch_seconds, compiler: Any, **kw: Any) -> str:
    return f"((julianday({_argument(element, compiler, kw)}) - 2440587.5) * 86400.0)"


class moment_of(FunctionElement[int]):  # noqa: N801 - a SQL function's name
    """Compile to a time as whole microseconds since 1970, UTC; to be compared with the database's other times only."""

    type = BigInteger()
    inherit_cache = True
    name = "moment_of"


@compiles(moment_of, "mysql")
@compiles(moment_of, "mariadb")
def _mysql_moment(element: moment_of, compiler: Any, **kw: Any) -> str:
    # A typed literal is read once, a text for each row.
    return f"TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', {_argument(element, compiler, kw)})"


@compiles(moment_of, "postgresql")
def _postgresql_moment(element: moment_of, compiler: Any, **kw: Any) -> str:
    # EXTRACT is NUMERIC and takes ten times as long; a double has all microseconds until the year 2255.
    return f"CAST(date_part('epoch', {_argument(element, compiler, kw)}) * 1000000 AS BIGINT)"


@compiles(moment_of, "sqlite")
def _sqlite_moment(element: moment_of, compiler: Any, **kw: Any) -> str:
    time = _argument(element, compiler, kw)
    return f"(CAST(strftime('%s', {time}) AS INTEGER) * 1000000 + CAST(substr({time}, 21, 6) AS INTEGER))"
