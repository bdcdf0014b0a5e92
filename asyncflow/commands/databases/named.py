"""The engine that a command is to work on, of one database or of several, as its options name it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from asyncflow.commands.target import scheduler_at, told_driver
from asyncflow.errors import TargetNotFoundError, UnknownDatabaseError, nearest
from asyncflow.scheduler.branches.engines import Engines
from asyncflow.scheduler.branches.sources import urls_from_toml
from asyncflow.text import on_one_line, shown

URL_VARIABLE, FILE_VARIABLE = "ASYNCFLOW_DATABASE_URL", "ASYNCFLOW_DATABASES"


def names_of(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the names of the several databases that the options lead to; none if it is a single one, without a name.

    Raises TargetNotFoundError or OptionError.
    """
    if options.target:
        return scheduler_at(options.target).databases
    path = _file_of(options)
    return () if path is None else tuple(urls_from_toml(path))


def engine_named(options: argparse.Namespace, **engine_options: Any) -> Engine:
    """Return the engine of the database that the options name, without a scheduler.

    Raises TargetNotFoundError, OptionError, or UnknownDatabaseError.
    """
    path, name = _file_of(options), getattr(options, "database", None)
    if path is not None:
        return _made(_url_of(urls_from_toml(path), name), engine_options)
    url = options.database_url or os.environ.get(URL_VARIABLE)
    if not url:
        raise TargetNotFoundError(
            "no database named; give --database-url URL, --databases FILE, or module:attribute of a Scheduler"
        )
    if name is not None:
        raise UnknownDatabaseError(f"--database is {shown(name)}, but the URL names a single one; leave it out")
    return _made(url, engine_options)


def engines_named(options: argparse.Namespace, **engine_options: Any) -> Engines:
    """Return the engine of the database that the options name, or those of several where they name none of them.

    Raises what ``engine_named`` raises.
    """
    path = _file_of(options)
    if path is None or options.database is not None:
        return engine_named(options, **engine_options)
    return {name: _made(url, engine_options) for name, url in urls_from_toml(path).items()}


def _made(url: Any, engine_options: Mapping[str, Any]) -> Engine:
    try:
        return create_engine(url, **engine_options)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        # Without the URL: what cannot be parsed cannot be shown without its password either.
        fault = told_driver(error) or _fault(error)
        raise TargetNotFoundError(f"the database URL cannot be used: {fault}") from error


def _fault(error: Exception) -> str:
    """Return what is wrong, and what to write instead of a URL that names no database of SQLAlchemy's."""
    if isinstance(error, (ArgumentError, NoSuchModuleError)):
        like = "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, mysql+pymysql://... or sqlite:///FILE"
        return f"{on_one_line(error)}; give {like}"
    if isinstance(error, ValueError):  # whose text is what stands where the port would, the rest of a password, say
        return "what stands behind the host is no port; in a user and a password write @ as %40, : as %3A and / as %2F"
    return on_one_line(error)


def _file_of(options: argparse.Namespace) -> str | None:
    """Return the file of several databases, which goes before a URL that only the environment names."""
    given: str | None = getattr(options, "databases", None)
    if given is not None or options.database_url:
        return given
    return os.environ.get(FILE_VARIABLE) or None


def _url_of(urls: dict[str, Any], name: str | None) -> Any:
    known = ", ".join(urls)
    if name is None:
        raise UnknownDatabaseError(f"there are several databases; name one: --database, of {known}")
    if name not in urls:
        raise UnknownDatabaseError(f"there is no database {shown(name)}{nearest(name, urls)}; there are {known}")
    return urls[name]
