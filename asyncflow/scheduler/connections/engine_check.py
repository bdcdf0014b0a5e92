"""A look at an engine before we work on it: what its connections, its pool and its server may not be."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import Any
from weakref import WeakSet

from sqlalchemy import AssertionPool, Connection, Engine, SingletonThreadPool, StaticPool

from asyncflow.errors import OptionError
from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.transaction.carrying import require_every_text
from asyncflow.outbox.transaction.target import require_transactional, translation_fault
from asyncflow.text import shown

_sound: WeakSet[Engine] = WeakSet()
_BLOCKING = defaultdict(
    lambda: "a driver that blocks",
    postgresql="postgresql+psycopg://",
    mysql="mysql+pymysql://",
    mariadb="mariadb+pymysql://",
    sqlite="sqlite://",
)


def require_sync(engine: Any) -> None:
    """Raise OptionError unless it is a synchronous engine, with the remedy."""
    if isinstance(engine, Engine):
        _require_blocking(engine)
        return
    if type(engine).__name__ == "AsyncEngine":
        raise OptionError(
            "the engine is an AsyncEngine, and this scheduler's statements block: use AsyncScheduler(engine, ...) on "
            "the application's event loop, or give a synchronous engine (create_engine) on the same database"
        )
    raise OptionError(f"engine is {shown(engine)}; give an Engine, from create_engine()")


def _require_blocking(engine: Engine) -> None:
    if engine.dialect.is_async:
        raise OptionError(
            f"the engine's driver {engine.dialect.driver} is awaited, and these statements block: give create_engine() "
            f"a URL with {_BLOCKING[engine.dialect.name]}, or an AsyncScheduler an engine of create_async_engine()"
        )


def require_place(engine: Any, outbox: Any) -> None:
    """Raise OptionError unless they are what an operator's tool works on: a synchronous engine, and an Outbox."""
    if type(engine).__name__ == "AsyncEngine":
        raise OptionError(
            "engine is an AsyncEngine, and these statements block; give a synchronous one (create_engine) on the same "
            "database, and call from a thread"
        )
    require_sync(engine)
    if not isinstance(outbox, Outbox):
        raise OptionError(f"outbox is {shown(outbox)}; give the Outbox, as in (engine, outbox)")


def require_engine(engine: Engine, outbox: Outbox) -> None:
    """Raise what is wrong with the engine, its server's settings or the tables that exist there, with the remedy.

    OptionError for a pool, a schema_translate_map or a database in memory, NotTransactionalError, CharacterSetError,
    UnsupportedDatabaseError, ConnectionSilentError.
    """
    require_connections_of_its_own(engine)
    if led_away := translation_fault(engine, outbox.tasks):
        raise OptionError(led_away)
    dialect = dialect_of(engine.dialect.name)
    with connected(engine) as connection:
        if fault := dialect.server_fault(connection, outbox.max_message_bytes):
            raise fault
        require_transactional(connection)
        require_every_text(connection)
        for fault in dialect.table_faults(connection, outbox.all_tables):
            raise fault
        connection.rollback()
        if fault := dialect.pooler_fault(connection, partial(connected, engine)):
            raise fault


def require_connection(connection: Connection) -> None:
    """Raise what is wrong with one of the engine's connections; no transaction is open afterwards.

    What takes a question to the server is asked once for each engine.
    """
    engine = connection.engine
    require_transactional(connection)
    if engine not in _sound:
        require_every_text(connection)
        _sound.add(engine)
    connection.rollback()


def require_connections_of_its_own(engine: Engine) -> None:
    """Refuse pools that hand one connection to several at once: we would commit what the application has begun."""
    if isinstance(engine.pool, (StaticPool, SingletonThreadPool, AssertionPool)):
        kind = type(engine.pool).__name__
        raise OptionError(
            f"the engine's pool is a {kind}, which has one connection for all; its transactions would be ended by "
            f"one another. Give an engine with a QueuePool or NullPool, of SQLite one on a file: "
            f"create_engine('sqlite:///app.db')"
        )
