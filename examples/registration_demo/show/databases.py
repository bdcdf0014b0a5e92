"""The databases of one run: a service's own for each."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from examples.registration_demo.show.errors import ShowError

SERVICES = ("accounts", "coupon", "points")

Urls = Mapping[str, str]


def sqlite_files(directory: Path) -> Urls:
    """Return the URL of a file for each service; they go with the directory."""
    return {service: f"sqlite:///{directory / service}.db" for service in SERVICES}


@contextmanager
def mariadb_databases(url: str) -> Iterator[Urls]:
    """Create an empty database for each service, and drop them at the end."""
    run = f"asyncflow_demo_{os.getpid()}_{secrets.token_hex(4)}"
    names = {service: f"{run}_{service}" for service in SERVICES}
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        _each(server, "CREATE DATABASE {} CHARACTER SET utf8mb4", names.values())
    except DBAPIError as error:
        raise ShowError(f"MariaDB does not make a database: {error.orig}; run `make services`") from error
    try:
        yield {service: _beside(url, name) for service, name in names.items()}
    finally:
        _each(server, "DROP DATABASE IF EXISTS {}", names.values())
        server.dispose()


def _each(server: Engine, statement: str, names: Iterable[str]) -> None:
    with server.connect() as connection:
        for name in names:
            connection.execute(text(statement.format(name)))


def _beside(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)
