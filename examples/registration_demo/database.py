"""A service's database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, create_engine, event


def open_engine(url: str) -> Engine:
    """Return an engine; SQLite is set up for several processes at one file."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _share_the_file)
    return engine


def _share_the_file(connection: Any, _: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")  # who reads does not wait for who writes
    connection.execute("PRAGMA busy_timeout=20000")  # milliseconds to wait for another writer
