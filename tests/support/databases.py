"""The databases of the tests, each with an empty database of this run's own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text

from tests.support.drivers import SYNC
from tools.services import load

NAMES = ("sqlite", "mariadb", "postgresql")
# MySQL itself has the most telling tests beside the three, where it is up; and in runs of its own all those of MariaDB.
STANDS_IN = "mysql" if os.environ.get("ASYNCFLOW_TEST_MYSQL_AS_MARIADB") else None
# Other drivers than the usual ones, in runs of their own: names of tests/support/drivers.py, with blanks between.
_NAMES_OF_DRIVERS = os.environ.get("ASYNCFLOW_TEST_DRIVERS", "").split()
DRIVEN = {driver.system: driver for driver in SYNC if driver.name in _NAMES_OF_DRIVERS}
everywhere = pytest.mark.parametrize("database_url", NAMES if STANDS_IN else (*NAMES, "mysql"), indirect=True)
_numbers = itertools.count(1)


def require_known_drivers() -> None:
    """Raise UsageError for a name of a driver that nobody has: its run would be one with the usual drivers."""
    known = {driver.name for driver in SYNC}
    if unknown := sorted(set(_NAMES_OF_DRIVERS) - known):
        raise pytest.UsageError(f"DRIVERS names {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def concerns_others(nodeid: str) -> bool:
    """Tell whether a test runs on databases alone for which none, and no driver, stands in: others run it as it is."""
    others = {"sqlite", "postgresql"} - DRIVEN.keys()
    return STANDS_IN is not None and any(name in nodeid.lower() for name in others)


def url_of(name: str, directory: Path) -> URL:
    """Return the URL of a test database; skips aloud, or fails where databases are demanded."""
    if name == "sqlite":
        return make_url(f"sqlite:///{directory / 'test.db'}")
    services = load()
    addresses = {"mariadb": services.mariadb_url, "mysql": services.mysql_url, "postgresql": services.postgresql_url}
    if STANDS_IN and name == "mariadb":
        name = STANDS_IN
    address = addresses[name]
    if address is None and name == "mysql":
        pytest.skip('no MySQL is up: make services SERVICES="mysql"')
    if address is None:
        refuse = pytest.fail if os.environ.get("ASYNCFLOW_REQUIRE_DATABASES") else pytest.skip
        refuse(f"{name} is not up: `make services` brings it up")
    driver = DRIVEN.get("mariadb" if name == "mysql" else name)
    return make_url(address) if driver is None else driver.url(make_url(address))


def kind_of(engine: Engine) -> str:
    """Return which system an engine leads to; to SQLAlchemy MariaDB is a MySQL."""
    if engine.dialect.name != "mysql":
        return engine.dialect.name
    with engine.connect():
        return "mariadb" if getattr(engine.dialect, "is_mariadb", False) else "mysql"


@contextmanager
def fresh_database(name: str, directory: Path) -> Iterator[URL]:
    """Create an empty database, and drop it at the end."""
    url = url_of(name, directory)
    if name == "sqlite":
        yield url
        return
    # A name for each: fixtures of two scopes have databases at once, and neither may drop the other's.
    own = f"asyncflow_test_{os.getpid()}_{next(_numbers)}"
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {own}"))
        connection.execute(text(f"CREATE DATABASE {own}"))
    try:
        yield url.set(database=own)
    finally:
        with server.connect() as connection:
            force = " WITH (FORCE)" if name == "postgresql" else ""
            connection.execute(text(f"DROP DATABASE IF EXISTS {own}{force}"))
        server.dispose()


class Databases:
    """Have one database of each kind, made when it is first asked for."""

    def __init__(self, until: ExitStack, directory: Path) -> None:
        self._until = until
        self._directory = directory
        self._urls: dict[str, URL] = {}

    def url(self, name: str) -> URL:
        """Return the URL of the database of that kind."""
        if name not in self._urls:
            self._urls[name] = self._until.enter_context(fresh_database(name, self._directory))
        return self._urls[name]


def open_engine(url: URL, **options: Any) -> Engine:
    """Return an engine as an application would set it up, with connections for several schedulers in one process."""
    engine = create_engine(url, **(options or {"max_overflow": 30}))
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: object, _: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=OFF")  # what is killed is processes, never the machine
    cursor.execute("PRAGMA busy_timeout=10000")
    cursor.close()


# Asked of the catalogue, since a reflection takes longer than most tests.
_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    "mysql": "SELECT table_name FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
}


def table_names(connection: Connection) -> list[str]:
    """Return the names of all tables, quoted."""
    dialect = connection.dialect.name.replace("mariadb", "mysql")
    quote = connection.dialect.identifier_preparer.quote_identifier
    return [quote(name) for name in connection.execute(text(_TABLES[dialect])).scalars()]


def drop_everything(engine: Engine) -> None:
    """Drop all tables, whoever made them."""
    dialect = engine.dialect.name.replace("mariadb", "mysql")
    with engine.connect() as connection:
        names = table_names(connection)
        if dialect == "sqlite":
            for name in names:
                connection.exec_driver_sql(f"DROP TABLE {name}")
        elif names:
            if dialect == "mysql":
                connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 0")
            connection.exec_driver_sql(f"DROP TABLE {', '.join(names)}{' CASCADE' * (dialect == 'postgresql')}")
            if dialect == "mysql":
                connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 1")
        connection.commit()
