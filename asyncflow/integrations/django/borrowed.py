"""A connection of SQLAlchemy on the one that Django has: it works in Django's transaction, and ends neither."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from sqlalchemy import Connection, DateTime, Dialect, Engine, NullPool, make_url
from sqlalchemy.dialects.sqlite import DATETIME
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from asyncflow.errors import NotTransactionalError, UnsupportedDatabaseError
from asyncflow.outbox.transaction.wakeup import COMMITTER

# The module of a driver's connection, and the dialect that speaks through it.
_DIALECTS = {
    "sqlite3": "sqlite+pysqlite",
    "psycopg": "postgresql+psycopg",
    "psycopg2": "postgresql+psycopg2",
    "pymysql": "mysql+pymysql",
    "MySQLdb": "mysql+mysqldb",
}
_PLACE = "_asyncflow_borrowed"  # on Django's connection, which belongs to one thread


def current_transaction(using: str = DEFAULT_DB_ALIAS) -> Connection:
    """Return a Connection in Django's transaction on the database ``using``, to enqueue and publish into.

    What is written there commits, rolls back and goes back to savepoints with ``transaction.atomic``. It is good until
    that block ends. Raises NotTransactionalError outside of one, UnsupportedDatabaseError.
    """
    django = connections[using]
    if not django.in_atomic_block and django.get_autocommit():
        raise NotTransactionalError(
            f"no transaction is open on the database {using!r}, so a task would be committed without the business "
            f"rows: enqueue it within transaction.atomic()"
        )
    django.validate_no_broken_transaction()
    kept: _OnDriver | None = getattr(django, _PLACE, None)
    if kept is None or not kept.is_of(django.connection):
        kept = _OnDriver(django.connection, _connection_on(django))
        setattr(django, _PLACE, kept)
    return kept.connection


class _OnDriver(NamedTuple):
    """Hold what was made for one connection of the driver, which Django replaces now and then."""

    driver: Any
    connection: Connection

    def is_of(self, driver: Any) -> bool:
        return self.driver is driver and not self.connection.closed and not self.connection.invalidated


class _Borrowed:
    """Be Django's connection to SQLAlchemy's pool, which may neither end its transaction nor close it."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def commit(self) -> None:
        """Leave that to Django."""

    def rollback(self) -> None:
        """Leave that to Django."""

    def close(self) -> None:
        """Leave that to Django."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)


def _connection_on(django: Any) -> Connection:
    connection = _engine(django.alias, _dialect_of(django)).connect()
    connection.info[COMMITTER] = partial(_after_commit, django.alias)
    return connection


@cache
def _engine(using: str, name: str) -> Engine:
    """Return an engine on whatever connection Django has, in the thread that asks; it changes nothing about that.

    So what create_engine() has SQLAlchemy set on each new connection is left out.
    """
    dialect = _made(make_url(f"{name}://").get_dialect())
    pool = NullPool(lambda: _Borrowed(connections[using].connection), dialect=dialect)
    engine = Engine(pool, dialect, make_url(f"{name}://"))
    with engine.connect() as connection:
        dialect.initialize(connection)
    return engine


def _made(kind: Any) -> Dialect:
    module = kind.import_dbapi()
    if kind.name == "sqlite":
        return _DjangosSQLite(dbapi=module)
    # Types of PostgreSQL's extensions would be registered on a connection that is not ours.
    options = {"use_native_hstore": False} if kind.name == "postgresql" else {}
    made: Dialect = kind(dbapi=module, **options)
    return made


class _ReadTime(DATETIME):
    """Read a time that the driver may have read already: Django tells it to."""

    def result_processor(self, dialect: Dialect, coltype: Any) -> Callable[[Any], Any]:
        process: Any = super().result_processor(dialect, coltype)
        return lambda value: value if isinstance(value, datetime) else process(value)


class _DjangosSQLite(SQLiteDialect_pysqlite):
    supports_statement_cache = True
    colspecs = {**SQLiteDialect_pysqlite.colspecs, DateTime: _ReadTime}  # noqa: RUF012 - as the class above has it


def _dialect_of(django: Any) -> str:
    modules = [kind.__module__.partition(".")[0] for kind in type(django.connection).__mro__]
    for module in modules:
        if module in _DIALECTS:
            return _DIALECTS[module]
    raise UnsupportedDatabaseError(
        f"the database {django.alias!r} is reached through {modules[0]}, which is not known here; use SQLite, "
        f"PostgreSQL, MySQL or MariaDB, with psycopg, psycopg2, mysqlclient or PyMySQL"
    )


def _after_commit(using: str, call: Callable[[], None]) -> None:
    # In manual transaction management Django tells nobody of a commit; the scheduler then looks by itself.
    if connections[using].in_atomic_block:
        transaction.on_commit(call, using=using, robust=True)
