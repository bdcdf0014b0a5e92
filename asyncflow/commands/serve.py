"""``asyncflow serve``: serve tasks over HTTP."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, MetaData
from sqlalchemy.exc import DBAPIError

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.processes.log import add_log_options, show_log
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.errors import ConnectionSilentError
from asyncflow.integrations.flowsvr import command
from asyncflow.integrations.logging import LoggingHook
from asyncflow.integrations.prometheus import MetricsPage
from asyncflow.outbox import Outbox
from asyncflow.scheduler.cluster.shard_count import recorded_shard_count
from asyncflow.scheduler.table.table_check import require_tables


def add_to(commands: Any) -> None:
    """Add the command."""
    serve = commands.add_parser("serve", help="serve tasks over HTTP until SIGTERM or SIGINT")
    add_database_options(serve)
    command.add_options(serve)
    add_log_options(serve, "also log what workers do all the time")
    serve.set_defaults(command=_serve)


def _serve(options: argparse.Namespace) -> int:
    with StopSignals() as signals:
        with signals.cutting_short():
            show_log(options)
            command.outlive_hangup()
            # A dead connection is found before a request meets it, and a pool that is spent is told in time.
            engine, outbox = database_of(options, pool_pre_ping=True, hide_parameters=True)
            if not options.target and (count := recorded_shard_count(engine, outbox)) is not None:
                outbox = Outbox(MetaData(), prefix=options.prefix, schema=options.schema, shard_count=count)
            page = MetricsPage(engine, outbox) if options.metrics else None
            serve = command.made(engine, outbox, options, LoggingHook(), page)
            _require_tables(engine, outbox)
        return serve(lambda: signals.is_heard)


def _require_tables(engine: Engine, outbox: Outbox) -> None:
    """Raise TablesMissingError as ``run`` does; a database that is away is waited for by the service itself."""
    with suppress(DBAPIError, ConnectionSilentError):
        require_tables(engine, outbox)
