"""The database that a command works on: a Scheduler's, or one that options and environment name."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.exc import SQLAlchemyError

from asyncflow.commands.printing import tell
from asyncflow.commands.target import scheduler_at, told_driver
from asyncflow.errors import TargetNotFoundError, UnknownTaskTypeError, nearest
from asyncflow.outbox import Outbox
from asyncflow.scheduler.operator.type_counts import known_types
from asyncflow.text import on_one_line, shown


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


def database_with_type(options: argparse.Namespace) -> tuple[Engine, Outbox]:
    """Return the engine and the outbox that the options name; raises UnknownTaskTypeError for a ``--type`` of none."""
    engine, outbox = database_of(options)
    if options.task_type is not None:
        require_known(options, engine, outbox, [options.task_type])
    return engine, outbox


def require_known(
    options: argparse.Namespace, engine: Engine, outbox: Outbox, names: Iterable[str], also: Sequence[str] = ()
) -> None:
    """Raise UnknownTaskTypeError for the first of the names that is no task type's, and none of ``also``.

    A database alone does not know what applications declare: there it is told, and the command goes on.
    """
    unknown = [name for name in names if name not in outbox.task_types and name not in outbox.handler_types]
    if not unknown:
        return
    known = known_types(engine, outbox).union(also)
    for name in unknown:
        if name in known:
            continue
        text = f"no task type {shown(name)} is declared, set or has tasks{nearest(name, known)}; see asyncflow types"
        if options.target:
            raise UnknownTaskTypeError(text)
        tell(f"asyncflow: {text}", sys.stderr)
