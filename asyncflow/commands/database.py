"""The database that a command works on: a Scheduler's, or one that options and environment name."""

from __future__ import annotations

import argparse
import os
from typing import Any

from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.exc import SQLAlchemyError

from asyncflow.commands.target import scheduler_at, told_driver
from asyncflow.errors import TargetNotFoundError
from asyncflow.outbox import Outbox
from asyncflow.text import on_one_line


def add_database_options(sub: argparse.ArgumentParser) -> None:
    """Add the options that name a database and its tables."""
    sub.add_argument("target", metavar="module:attribute", nargs="?", help="a Scheduler; or use the options")
    sub.add_argument("--database-url", help="SQLAlchemy URL; default: $ASYNCFLOW_DATABASE_URL")
    sub.add_argument("--prefix", default="asyncflow_", help="of the tables' names (default: %(default)s)")
    sub.add_argument("--schema", help="of the tables")


def database_of(options: argparse.Namespace, **engine_options: Any) -> tuple[Engine, Outbox]:
    """Return the engine and the outbox that the options name; raises TargetNotFoundError."""
    if options.target:
        scheduler = scheduler_at(options.target)
        return scheduler.engine, scheduler.outbox
    url = options.database_url or os.environ.get("ASYNCFLOW_DATABASE_URL")
    if not url:
        raise TargetNotFoundError("no database named; give --database-url URL, or module:attribute of a Scheduler")
    try:
        engine = create_engine(url, **engine_options)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        # Without the URL: what cannot be parsed cannot be shown without its password either.
        fault = told_driver(error) or on_one_line(error)
        raise TargetNotFoundError(f"the database URL cannot be used: {fault}") from error
    return engine, Outbox(MetaData(), prefix=options.prefix, schema=options.schema)
