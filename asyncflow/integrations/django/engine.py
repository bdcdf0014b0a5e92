"""The scheduler's own engine, on a database of Django's settings."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from sqlalchemy import URL, Engine, create_engine

from asyncflow.errors import MissingExtraError, UnsupportedDatabaseError
from asyncflow.scheduler.connections.sync_twin import POOL

_DRIVERS = {"postgresql": ("psycopg", "psycopg2"), "mysql": ("pymysql", "MySQLdb")}  # that we like best first
_NAMES = {"MySQLdb": "mysqldb"}
# Of OPTIONS, what Django itself reads.
_DJANGOS_OWN = {"isolation_level", "pool", "server_side_binding", "assume_role", "transaction_mode"}


def engine_of(using: str = DEFAULT_DB_ALIAS) -> Engine:
    """Return a new engine on the database ``using``, with connections of its own; whoever asked disposes of it.

    Raises UnsupportedDatabaseError or MissingExtraError.
    """
    django = connections[using]
    settings: dict[str, Any] = django.settings_dict
    if django.vendor == "sqlite":
        return create_engine(URL.create("sqlite", database=str(settings["NAME"])))
    if django.vendor not in _DRIVERS:
        raise UnsupportedDatabaseError(
            f"the database {using!r} is {django.display_name}; use SQLite, PostgreSQL, MySQL or MariaDB"
        )
    options = {name: value for name, value in settings["OPTIONS"].items() if name not in _DJANGOS_OWN}
    if django.vendor == "mysql":
        options.setdefault("charset", "utf8mb4")  # as Django does
    return create_engine(_url_of(django.vendor, settings), connect_args=options, **POOL)


def _url_of(vendor: str, settings: dict[str, Any]) -> URL:
    host = settings["HOST"] or None
    query: dict[str, str] = {}
    if host is not None and host.startswith("/"):
        query = {"unix_socket" if vendor == "mysql" else "host": host}
        host = None
    return URL.create(
        f"{vendor}+{_driver_of(vendor)}",
        settings["USER"] or None,
        settings["PASSWORD"] or None,
        host,
        int(settings["PORT"]) if settings["PORT"] else None,
        settings["NAME"] or None,
        query,
    )


def _driver_of(vendor: str) -> str:
    for module in _DRIVERS[vendor]:
        if find_spec(module) is not None:
            return _NAMES.get(module, module)
    raise MissingExtraError(
        f'the scheduler needs {_DRIVERS[vendor][0]}, which is not installed: pip install "asyncflow-outbox[{vendor}]"'
    )
