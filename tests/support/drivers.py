"""The drivers of databases that the tests know: those of our extras, and those that applications have beside them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pytest
from sqlalchemy import URL

_NOTHING: Mapping[str, str] = MappingProxyType({})
# By itself it asks for a collation that MariaDB lacks.
_CONNECTOR = {"charset": "utf8mb4", "collation": "utf8mb4_general_ci"}


class Driver(NamedTuple):
    """Name a driver, the system that it is for, SQLAlchemy's name of both, its module, and what its URLs say."""

    name: str
    system: str
    drivername: str
    module: str
    query: Mapping[str, str] = _NOTHING

    def require(self) -> None:
        """Skip aloud where it is not installed."""
        pytest.importorskip(
            self.module, reason=f"{self.name} is not installed, or not for this machine", exc_type=ImportError
        )
        if self.name == "aiomysql" and not callable(
            importlib.import_module("aiomysql.connection").escape_bytes_prefixed
        ):
            pytest.skip("aiomysql sends no bytes with PyMySQL from 1.2 on")

    def url(self, url: URL) -> URL:
        """Return the URL of a database by this driver."""
        return url.set(drivername=self.drivername, query=dict(self.query))


PYMYSQL = Driver("pymysql", "mariadb", "mysql+pymysql", "pymysql", {"charset": "utf8mb4"})
MYSQLCLIENT = Driver("mysqlclient", "mariadb", "mysql+mysqldb", "MySQLdb", {"charset": "utf8mb4"})
CONNECTOR = Driver(
    "mysql-connector", "mariadb", "mysql+mysqlconnector", "mysql.connector", {**_CONNECTOR, "use_pure": "true"}
)
CONNECTOR_IN_C = Driver(
    "mysql-connector-c", "mariadb", "mysql+mysqlconnector", "_mysql_connector", {**_CONNECTOR, "use_pure": "false"}
)
PSYCOPG = Driver("psycopg", "postgresql", "postgresql+psycopg", "psycopg")
PSYCOPG2 = Driver("psycopg2", "postgresql", "postgresql+psycopg2", "psycopg2")
PG8000 = Driver("pg8000", "postgresql", "postgresql+pg8000", "pg8000")
ASYNCMY = Driver("asyncmy", "mariadb", "mysql+asyncmy", "asyncmy", {"charset": "utf8mb4"})
AIOMYSQL = Driver("aiomysql", "mariadb", "mysql+aiomysql", "aiomysql", {"charset": "utf8mb4"})
ASYNCPG = Driver("asyncpg", "postgresql", "postgresql+asyncpg", "asyncpg")
ASYNC_PSYCOPG = Driver("psycopg-async", "postgresql", "postgresql+psycopg", "psycopg")

SYNC = (PYMYSQL, MYSQLCLIENT, CONNECTOR, CONNECTOR_IN_C, PSYCOPG, PSYCOPG2, PG8000)
ASYNC = (ASYNCMY, AIOMYSQL, ASYNCPG, ASYNC_PSYCOPG)


def sync_drivers_of(backend: str) -> tuple[Driver, ...]:
    """Return the synchronous drivers for what SQLAlchemy calls a backend, that of our extra first."""
    return tuple(driver for driver in SYNC if driver.drivername.startswith(f"{backend}+"))


def name_of(driver: Driver) -> str:
    """Return what a test's case is called by."""
    return driver.name
