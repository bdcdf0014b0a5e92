"""A synchronous engine for an AsyncEngine: on it go the run side's own statements, which block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from sqlalchemy import URL, Engine, create_engine

from asyncflow.errors import MissingExtraError, OptionError, UnsupportedDatabaseError
from asyncflow.text import shown

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

AnyEngine: TypeAlias = "Engine | AsyncEngine"

_DRIVERS = {
    "asyncpg": "postgresql+psycopg",
    "psycopg": "postgresql+psycopg",
    "psycopg_async": "postgresql+psycopg",
    "aiomysql": "pymysql",
    "asyncmy": "pymysql",
    "aiosqlite": "sqlite+pysqlite",
}
_EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_ASYNCPGS_OWN = {"prepared_statement_cache_size", "prepared_statement_name_func"}
POOL = {"pool_size": 10, "max_overflow": 50}  # the loops keep theirs, and each transactional handler has one


def blocking(engine: AnyEngine) -> Engine:
    """Return the engine; of one whose driver awaits, such as an AsyncEngine, one beside it that blocks.

    Raises what ``sync_twin`` raises, and OptionError for what is no engine.
    """
    if not isinstance(engine, Engine) and type(engine).__name__ != "AsyncEngine":
        raise OptionError(f"engine is {shown(engine)}; give an Engine or an AsyncEngine")
    return sync_twin(engine) if engine.dialect.is_async else cast("Engine", engine)


def sync_twin(engine: AnyEngine) -> Engine:
    """Make an engine on the same database; whoever asked for it disposes of it.

    What is not in the URL, such as ``connect_args``, is not known here. Raises OptionError, UnsupportedDatabaseError or
    MissingExtraError.
    """
    url = blocking_url(engine.url, engine.dialect.driver)
    try:
        twin = create_engine(url, **_options_of(url))
    except ImportError as error:
        extra = _EXTRAS[url.get_backend_name()]
        raise MissingExtraError(
            f"the scheduler's own statements need {url.get_driver_name()}, which is not installed: "
            f'pip install "asyncflow-outbox[{extra}]", or give a synchronous engine: sync_engine='
        ) from error
    options: Mapping[str, Any] = getattr(engine, "sync_engine", engine).get_execution_options()
    translated = options.get("schema_translate_map")
    return twin if translated is None else twin.execution_options(schema_translate_map=translated)


def blocking_url(url: URL, driver: str) -> URL:
    """Return the URL with a driver that blocks in the place of one that awaits.

    Raises OptionError or UnsupportedDatabaseError.
    """
    if driver not in _DRIVERS:
        raise UnsupportedDatabaseError(
            f"no synchronous driver is known for {driver!r}; give a synchronous engine on the same database: "
            f"sync_engine="
        )
    if driver == "aiosqlite" and _is_in_memory(url):
        raise OptionError(
            "the SQLite database is in memory, where a scheduler has no connection beside the application's; give a "
            "file, such as create_async_engine('sqlite+aiosqlite:///app.db')"
        )
    name = _DRIVERS[driver]
    name = name if "+" in name else f"{url.get_backend_name()}+{name}"
    return url.set(drivername=name, query=_query_of(url) if driver == "asyncpg" else url.query)


def _options_of(url: URL) -> dict[str, Any]:
    """Return the options of the twin: with psycopg it prepares nothing, as poolers of transactions keep nothing."""
    if url.get_backend_name() == "sqlite":
        return {}
    return {**POOL, "connect_args": {"prepare_threshold": None}} if url.get_driver_name() == "psycopg" else POOL


def _query_of(url: URL) -> dict[str, Any]:
    """Return what libpq makes of asyncpg's parameters; raises OptionError for one that it does not know."""
    query: dict[str, Any] = {}
    for name, value in url.query.items():
        if name in _ASYNCPGS_OWN:
            continue
        if name not in ("ssl", "host", "port", "user", "passfile", "target_session_attrs"):
            raise OptionError(
                f"the URL's {name}= is known to asyncpg alone; give a synchronous engine on the same database: "
                f"sync_engine=create_engine('postgresql+psycopg://...')"
            )
        query["sslmode" if name == "ssl" else name] = value
    return query


def _is_in_memory(url: URL) -> bool:
    told = f"{url.database} {dict(url.query)}"
    return not url.database or any(mark in told for mark in (":memory:", "memdb", "'mode': 'memory'", "mode=memory"))
