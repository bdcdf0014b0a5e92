"""``asyncflow serve``: serve tasks over HTTP."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, MetaData
from sqlalchemy.exc import DBAPIError

from asyncflow.commands.database import add_database_options
from asyncflow.commands.databases.named import engines_named
from asyncflow.commands.processes.log import add_log_options, show_log
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.commands.target import scheduler_at
from asyncflow.errors import ConnectionSilentError, ShardCountMismatchError, TablesMissingError
from asyncflow.integrations.flowsvr import command
from asyncflow.integrations.logging import LoggingHook
from asyncflow.integrations.prometheus import MetricsPage
from asyncflow.outbox import Outbox
from asyncflow.scheduler.branches.engines import Engines, engines_of
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
            engines, outbox = _databases_of(options)
            page = MetricsPage(engines, outbox) if options.metrics else None
            serve = command.made(engines, outbox, options, LoggingHook(), page)
            _require_tables(engines, outbox)
        return serve(lambda: signals.is_heard)


def _databases_of(options: argparse.Namespace) -> tuple[Engines, Outbox]:
    """Return the engine that the options name, or those of several where none of them is named, and the outbox."""
    if options.target:
        scheduler = scheduler_at(options.target)
        if options.database is None and scheduler.databases:
            return scheduler.engines, scheduler.outbox
        return scheduler.engine_of(options.database), scheduler.outbox
    # A dead connection is found before a request meets it, and a pool that is spent is told in time.
    engines = engines_named(options, pool_pre_ping=True, hide_parameters=True)
    outbox = Outbox(MetaData(), prefix=options.prefix, schema=options.schema)
    counts = _recorded_counts(engines_of(engines), outbox)
    if len(counts) > 1:
        raise ShardCountMismatchError(
            f"the databases are sharded by {', '.join(map(str, sorted(counts)))}; serve those of one number together, "
            f"or reshard the others"
        )
    if counts:
        outbox = Outbox(MetaData(), prefix=options.prefix, schema=options.schema, shard_count=counts.pop())
    return engines, outbox


def _recorded_counts(engines: Mapping[str, Engine], outbox: Outbox) -> set[int]:
    """Return the numbers of shards that the databases record; raises what keeps the first from answering if all do."""
    counts: set[int | None] = set()
    faults: list[Exception] = []
    for engine in engines.values():
        try:
            counts.add(recorded_shard_count(engine, outbox))
        except (DBAPIError, ConnectionSilentError) as error:
            faults.append(error)
    if len(faults) == len(engines):
        raise faults[0]
    return {count for count in counts if count is not None}


def _require_tables(engines: Engines, outbox: Outbox) -> None:
    """Raise TablesMissingError as ``run`` does, of several if all lack them.

    A database that is away is waited for by the service itself.
    """
    faults = []
    for engine in engines_of(engines).values():
        try:
            require_tables(engine, outbox)
        except TablesMissingError as error:
            faults.append(error)
        except (DBAPIError, ConnectionSilentError):
            return
    if faults and len(faults) == len(engines_of(engines)):
        raise faults[0]
