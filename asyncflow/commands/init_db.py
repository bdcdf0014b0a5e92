"""``asyncflow init-db``: create the tables."""

from __future__ import annotations

import argparse
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.printing import tell
from asyncflow.outbox import Inbox
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.lines.limits import OF_A_COMMAND


def add_to(commands: Any) -> None:
    """Add the command."""
    init_db = commands.add_parser("init-db", help="create asyncflow's tables where they are missing")
    add_database_options(init_db, looks=True)
    init_db.set_defaults(command=_init_db)


def _init_db(options: argparse.Namespace) -> int:
    engine, outbox = database_of(options)
    metadata = outbox.tasks.metadata
    tables = [*outbox.all_tables]
    if not options.target:
        tables.append(Inbox(metadata, prefix=options.prefix, schema=options.schema).entries)
    with connected(engine, OF_A_COMMAND) as connection:
        metadata.create_all(connection, tables)
        connection.commit()
    tell(f"{', '.join(table.fullname for table in tables)} are in {engine.url.render_as_string()}")
    return 0
