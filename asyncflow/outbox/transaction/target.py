"""The caller's transaction: what a task can be written into."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, Insert
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Mapper, Session, scoped_session

from asyncflow.errors import NotTransactionalError, WrongTargetError
from asyncflow.text import a_type_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

    Target = Session | AsyncSession | Connection | scoped_session[Any] | async_scoped_session[Any]

T = TypeVar("T")
_IN_TRANSACTION = 1  # the flag of MySQL's protocol
_IDLE = 0  # libpq's


class Caller(NamedTuple):
    """Hold whose transaction is written into; an ``is_async`` one flushes only where it awaits."""

    target: Session | Connection
    is_async: bool

    @classmethod
    def of(cls, given: Any) -> Caller:
        """Return what was given to ``publish`` or ``enqueue``; raises WrongTargetError or NotTransactionalError."""
        return cls(target_of(given), is_async(given))


def target_of(given: Any) -> Session | Connection:
    """Return the Session or Connection behind ``given``; raises WrongTargetError or NotTransactionalError."""
    target = sync_session_of(given)
    if isinstance(target, Session):
        return target
    if isinstance(target, Connection):
        require_transactional(target)
        return target
    raise WrongTargetError(_remedy(given))


def is_async(given: Any) -> bool:
    """Tell whether ``given`` is an AsyncSession, scoped or not."""
    # Where the module was not imported, nobody holds one; importing it would demand greenlet.
    asyncio = sys.modules.get("sqlalchemy.ext.asyncio")
    return asyncio is not None and isinstance(given, (asyncio.AsyncSession, asyncio.async_scoped_session))


def async_session_of(given: Any) -> AsyncSession:
    """Return the AsyncSession itself; a scoped one has neither ``sync_session`` nor ``run_sync``."""
    session: AsyncSession = given if hasattr(given, "sync_session") else given()
    return session


async def awaited(given: Any, work: Callable[[Session], T]) -> T:
    """Do ``work`` in an AsyncSession, where it may send statements; raises WrongTargetError for anything else."""
    if not is_async(given):
        raise WrongTargetError(f"only an AsyncSession is awaited, not {a_type_of(given)}; leave _async out")
    return await async_session_of(given).run_sync(work)


def sync_session_of(given: Any) -> Any:
    """Return the Session behind a scoped or asynchronous one; anything else as it is."""
    if isinstance(given, scoped_session):
        return given()
    return async_session_of(given).sync_session if is_async(given) else given


def bind_of(session: Session, statement: Insert, mapper: Mapper[Any] | None = None) -> Engine | Connection:
    """Return where the session would send ``statement``; raises WrongTargetError if nowhere."""
    try:
        return session.get_bind(mapper=mapper, clause=statement)
    except UnboundExecutionError as error:
        raise WrongTargetError(
            f"the session has no bind for the table {statement.table.fullname}; give it one, "
            f"such as Session(binds={{..., outbox.tasks: engine}})"
        ) from error


def require_joining(session: Session, statement: Insert, mapper: Mapper[Any] | None = None) -> None:
    """Raise NotTransactionalError or WrongTargetError unless what joins the session's next flush is kept with it."""
    bind = bind_of(session, statement, mapper)
    require_transactional(bind)
    require_untranslated(bind, statement.table)


def connection_of(target: Session | Connection, statement: Insert, mapper: Mapper[Any] | None = None) -> Connection:
    """Return the connection of the caller's transaction on which ``statement`` is to run."""
    if isinstance(target, Connection):
        return target
    connection = target.connection({"bind": bind_of(target, statement, mapper)})
    require_transactional(connection)
    return connection


def require_transactional(bind: Engine | Connection) -> None:
    """Raise NotTransactionalError if each statement is committed by itself there.

    An Engine is judged by SQLAlchemy's options alone, a Connection by its driver as well.
    """
    on_engine = getattr(bind.dialect, "_on_connect_isolation_level", None)
    level = bind.get_execution_options().get("isolation_level", on_engine)
    if level is not None and level.upper() == "AUTOCOMMIT":
        raise NotTransactionalError(
            "the connection is in AUTOCOMMIT: the task would be committed without the business rows; "
            "use one with a transaction, such as engine.begin()"
        )
    if isinstance(bind, Connection) and commits_by_itself(bind):
        raise NotTransactionalError(
            "the connection is in AUTOCOMMIT by its driver, which commits each statement whatever SQLAlchemy does; "
            "leave autocommit out of connect_args and of the pool's events (sqlite3: isolation_level=None)"
        )


def require_untranslated(bind: Engine | Connection, table: Any) -> None:
    """Raise WrongTargetError if the bind's schema_translate_map leads the table elsewhere: nobody looks there."""
    if fault := translation_fault(bind, table):
        raise WrongTargetError(fault)


def translation_fault(bind: Engine | Connection, table: Any) -> str | None:
    """Return where a schema_translate_map leads the table, with the remedy; None if it stays where it is."""
    translated = bind.get_execution_options().get("schema_translate_map")
    if not translated:
        return None
    place = translated.get(table.schema, table.schema)
    if place == table.schema or (table.schema is None and place == bind.dialect.default_schema_name):
        return None
    return (
        f"the schema_translate_map leads the table {table.fullname} to the schema {place!r}, where no scheduler looks; "
        f"say where the tables are by a schema that the map does not name, such as Outbox(metadata, schema='shop')"
    )


def commits_by_itself(connection: Connection) -> bool:
    """Tell whether each statement would be committed by itself, whatever SQLAlchemy believes."""
    pooled = connection.connection
    driver, adapter = pooled.driver_connection, pooled.dbapi_connection
    if not (_is_autocommit(driver) or (adapter is not driver and _is_autocommit(adapter))):
        return False
    # A listener of "begin" may open a transaction by a statement, as SQLAlchemy's recipe for pysqlite does; SQLAlchemy
    # begins with the first statement.
    connection.exec_driver_sql("SELECT 1")
    return not _is_in_transaction(driver)


def _is_autocommit(driver: Any) -> bool:
    if (ask := getattr(driver, "get_autocommit", None)) is not None:  # PyMySQL, mysqlclient, asyncmy, aiomysql
        return bool(ask())
    if type(driver).__module__.startswith("mysql.connector"):  # which asks the server, to tell its ``autocommit``
        return bool(driver._autocommit)
    autocommit = getattr(driver, "autocommit", None)
    if isinstance(autocommit, bool):  # psycopg, psycopg2, pg8000, asyncpg's adapter, sqlite3 if told so
        return autocommit
    return hasattr(driver, "in_transaction") and getattr(driver, "isolation_level", "") is None  # sqlite3, aiosqlite


def _is_in_transaction(driver: Any) -> bool:
    if (flags := getattr(driver, "server_status", None)) is not None:
        return bool(flags & _IN_TRANSACTION)
    if (info := getattr(driver, "info", None)) is not None and hasattr(info, "transaction_status"):
        return int(info.transaction_status) != _IDLE
    return bool(getattr(driver, "in_transaction", False) or getattr(driver, "_in_transaction", False))  # pg8000


def _remedy(given: Any) -> str:
    kind = type(given).__name__
    text = f"{a_type_of(given)} cannot take a task; give the Session, AsyncSession or Connection of your transaction"
    if kind == "AsyncConnection":
        text += ": await connection.run_sync(lambda sync: outbox.publish(sync, ...))"
    elif kind in ("Engine", "AsyncEngine", "sessionmaker", "async_sessionmaker"):
        text += f", opened from this {kind} where the business rows are written"
    return text
