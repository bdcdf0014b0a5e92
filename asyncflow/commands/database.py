"""The database that a command works on: a Scheduler's, or one that options and environment name."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Engine, MetaData

from asyncflow.commands.databases.named import engine_named
from asyncflow.commands.printing import tell
from asyncflow.commands.target import scheduler_at
from asyncflow.errors import UnknownTaskTypeError, nearest
from asyncflow.outbox import Outbox
from asyncflow.scheduler.operator.type_counts import known_types
from asyncflow.text import shown


def add_database_options(sub: argparse.ArgumentParser, *, looks: bool = False) -> None:
    """Add the options that name a database and its tables; what only ``looks`` does so in several, if none is named."""
    sub.add_argument("target", metavar="module:attribute", nargs="?", help="a Scheduler; or use the options")
    sub.add_argument("--database-url", help="SQLAlchemy URL; default: $ASYNCFLOW_DATABASE_URL")
    sub.add_argument(
        "--databases", metavar="FILE", help="TOML of several, in [databases]; default: $ASYNCFLOW_DATABASES"
    )
    sub.add_argument(
        "--database",
        metavar="NAME",
        help="of several, this one; without: all of them" if looks else "of several, this one",
    )
    sub.add_argument("--prefix", default="asyncflow_", help="of the tables' names (default: %(default)s)")
    sub.add_argument("--schema", help="of the tables")
    sub.set_defaults(looks=looks)


def database_of(options: argparse.Namespace, **engine_options: Any) -> tuple[Engine, Outbox]:
    """Return the engine and the outbox that the options name; raises TargetNotFoundError, or OptionError."""
    if options.target:
        scheduler = scheduler_at(options.target)
        return scheduler.engine_of(getattr(options, "database", None)), scheduler.outbox
    engine = engine_named(options, **engine_options)
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
