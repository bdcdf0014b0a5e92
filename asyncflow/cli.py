"""The command line: ``asyncflow run``, ``serve``, ``worker``, and what a person does: ``asyncflow --help`` lists it.

Exit codes: 0 done, 1 an error that the message explains, 2 wrong usage, 3 stopped, but work had to be left behind.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.exc import SQLAlchemyError

from asyncflow.commands import audit as audit_command
from asyncflow.commands import config as config_command
from asyncflow.commands import dead_letters as dead_letters_command
from asyncflow.commands.stop_signals import StopHeard, StopSignals
from asyncflow.errors import AsyncflowError, TargetNotFoundError
from asyncflow.integrations.flowsvr import command as flowsvr
from asyncflow.integrations.flowsvr.client import command as worker_command
from asyncflow.integrations.logging import LoggingHook
from asyncflow.outbox import Inbox, Outbox
from asyncflow.scheduler import Scheduler
from asyncflow.scheduler.cluster.reshard import reshard
from asyncflow.scheduler.cluster.shard_count import recorded_shard_count
from asyncflow.scheduler.connections.connecting import connected
from asyncflow.scheduler.connections.limits import OF_A_COMMAND
from asyncflow.scheduler.jobs.sources import options_from_environment, options_from_toml
from asyncflow.scheduler.operator.report import COUNT_LIMIT, Report, TypeReport, report

_LEFT_BEHIND = 3


class Runnable(Protocol):
    """Run from ``__enter__`` to ``stop``."""

    def __enter__(self) -> Any:
        """Start."""
        ...

    def __exit__(self, *given: Any) -> None:
        """Stop."""
        ...

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it has stopped."""
        ...

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Stop; return whether the work in hand ended."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except StopHeard:
        return 0  # before anything had begun
    except AsyncflowError as error:
        print(f"asyncflow: {error}", file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        print(f"asyncflow: the database answered: {_one_line(getattr(error, 'orig', None) or error)}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="asyncflow", description="Transactional outbox for SQLAlchemy.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a scheduler until SIGTERM or SIGINT")
    run.add_argument("target", metavar="module:attribute", help="the Scheduler, or a function that makes it")
    run.add_argument(
        "--verbose", action="store_true", help="also log every page, batch and settle, and what the Kafka client says"
    )
    run.add_argument("--config", metavar="FILE", help="TOML with options of jobs, in tables [jobs.NAME]")
    run.set_defaults(command=_run)
    worker = commands.add_parser("worker", help="do the tasks of a task service until SIGTERM or SIGINT")
    worker.add_argument("target", metavar="module:attribute", help="the Outbox; or a Scheduler, for its engine")
    worker_command.add_options(worker)
    worker.add_argument("--verbose", action="store_true", help="also log every settle")
    worker.set_defaults(command=_worker)
    reshard_command = commands.add_parser("reshard", help="give every task its shard by a new shard_count")
    reshard_command.add_argument("target", metavar="module:attribute", help="the Scheduler, with the new shard_count")
    reshard_command.set_defaults(command=_reshard)
    serve = commands.add_parser("serve", help="serve tasks over HTTP until SIGTERM or SIGINT")
    _add_database_options(serve)
    flowsvr.add_options(serve)
    serve.set_defaults(command=_serve)
    for name, command, text in (
        ("init-db", _init_db, "create asyncflow's tables where they are missing"),
        ("status", _status, "show what waits, what failed and who owns the shards"),
    ):
        sub = commands.add_parser(name, help=text)
        _add_database_options(sub)
        sub.set_defaults(command=command)
    for module in (config_command, dead_letters_command, audit_command):
        module.add_to(commands, _add_database_options, _database)
    return parser


def _add_database_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("target", metavar="module:attribute", nargs="?", help="a Scheduler; or use the options")
    sub.add_argument("--database-url", help="SQLAlchemy URL; default: $ASYNCFLOW_DATABASE_URL")
    sub.add_argument("--prefix", default="asyncflow_", help="of the tables' names (default: %(default)s)")
    sub.add_argument("--schema", help="of the tables")


# -- run -------------------------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    with StopSignals() as signals:
        with signals.cutting_short():
            _log(verbose=options.verbose)
            scheduler = _scheduler_at(options.target)
            _configure_jobs(scheduler, options.config)
            scheduler.hooks.add(LoggingHook())
        return _until_stopped(scheduler, signals)


def _log(*, verbose: bool) -> None:
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", stream=sys.stderr)
    logging.getLogger("asyncflow").setLevel(level)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    # kafka-python writes lines for each reconnect attempt; what a person needs of them is in BreakerChanged.
    logging.getLogger("kafka").setLevel(logging.INFO if verbose else logging.CRITICAL)


def _configure_jobs(scheduler: Scheduler, config: str | None) -> None:
    """Lay the file's options over the jobs' own, and the environment's over both."""
    if config is not None:
        scheduler.configure_jobs(options_from_toml(config))
    scheduler.configure_jobs({name: options_from_environment(name, os.environ) for name in scheduler.job_names})


def _until_stopped(scheduler: Runnable, signals: StopSignals) -> int:
    """Run until the first signal; one that comes during the start is heard when it has ended."""
    with scheduler:
        while not signals.is_heard:
            # Bounded, so that the signal's handler runs soon on every platform.
            scheduler.wait(0.2)
        return 0 if scheduler.stop() else _LEFT_BEHIND


# -- worker ----------------------------------------------------------------------------------------------


def _worker(options: argparse.Namespace) -> int:
    wanted = "an Outbox or a Scheduler, or a function that makes one"
    with StopSignals() as signals:
        with signals.cutting_short():
            _log(verbose=options.verbose)
            target = _made_at(options.target, (Outbox, Scheduler), wanted)
            worker = worker_command.worker_of(target, options, LoggingHook())
        return _until_stopped(worker, signals)


# -- serve -----------------------------------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    with StopSignals() as signals:
        with signals.cutting_short():
            _log(verbose=options.verbose)
            # A dead connection is found before a request meets it, and a pool that is spent is told in time.
            engine, outbox = _database(options, pool_pre_ping=True)
            if not options.target and (count := recorded_shard_count(engine, outbox)) is not None:
                outbox = Outbox(MetaData(), prefix=options.prefix, schema=options.schema, shard_count=count)
            serve = flowsvr.made(engine, outbox, options, LoggingHook())
        return serve(lambda: signals.is_heard)


# -- init-db and status ----------------------------------------------------------------------------------


def _init_db(options: argparse.Namespace) -> int:
    engine, outbox = _database(options)
    metadata = outbox.tasks.metadata
    tables = [*outbox.tables]
    if not options.target:
        tables.append(Inbox(metadata, prefix=options.prefix, schema=options.schema).entries)
    with connected(engine, OF_A_COMMAND) as connection:
        metadata.create_all(connection, tables)
        connection.commit()
    print(f"{', '.join(table.fullname for table in tables)} are in {engine.url.render_as_string()}")
    return 0


def _reshard(options: argparse.Namespace) -> int:
    scheduler = _scheduler_at(options.target)
    changed = reshard(scheduler.engine, scheduler.outbox)
    print(f"{changed} tasks have another shard; there are {scheduler.outbox.shard_count} shards now")
    return 0


def _status(options: argparse.Namespace) -> int:
    engine, outbox = _database(options)
    print(render(report(engine, outbox)))
    return 0


def _database(options: argparse.Namespace, **engine_options: Any) -> tuple[Engine, Outbox]:
    if options.target:
        scheduler = _scheduler_at(options.target)
        return scheduler.engine, scheduler.outbox
    url = options.database_url or os.environ.get("ASYNCFLOW_DATABASE_URL")
    if not url:
        raise TargetNotFoundError("no database named; give --database-url URL, or module:attribute of a Scheduler")
    try:
        engine = create_engine(url, **engine_options)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        # Without the URL: what cannot be parsed cannot be shown without its password either.
        raise TargetNotFoundError(f"the database URL cannot be used: {_one_line(error)}") from error
    return engine, Outbox(MetaData(), prefix=options.prefix, schema=options.schema)


def _scheduler_at(target: str) -> Scheduler:
    made: Scheduler = _made_at(target, Scheduler, "a Scheduler, or a function that makes one")
    return made


def _made_at(target: str, kind: Any, wanted: str) -> Any:
    """Import ``module:attribute``, with the working directory importable; call it if it is a function."""
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise TargetNotFoundError(f"{target!r} is not module:attribute; give both, such as shop.wiring:scheduler")
    sys.path.insert(0, os.getcwd())
    try:
        made = _made_by(module_name, attribute)
    except (AsyncflowError, SQLAlchemyError):
        raise  # their messages tell what is wrong
    except Exception as error:
        raise TargetNotFoundError(_import_fault(target, module_name, error)) from error
    if not isinstance(made, kind):
        raise TargetNotFoundError(f"{target!r} is {made!r:.80}; name {wanted}")
    return made


def _made_by(module_name: str, attribute: str) -> Any:
    found: Any = importlib.import_module(module_name)
    for name in attribute.split("."):
        found = getattr(found, name, None)
    return found() if callable(found) else found


def _import_fault(target: str, module_name: str, error: Exception) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{module_name}.".startswith(f"{missing}."):
        return f"there is no module {missing!r}; give module:attribute, from here"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{target!r} cannot be loaded: {type(error).__name__}: {_one_line(error)} ({frame.filename}:{frame.lineno})"


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def render(state: Report) -> str:
    """Return the report as text for a terminal."""
    lines = [f"{'TASK TYPE':<32} {'PENDING':>8} {'OLDEST DUE':>11} {'NEXT DUE':>9} {'SUCCESS':>8} {'FAILED':>7}"]
    for one in state.types:
        lines.append(
            f"{_named(one):<32} {_count(one.pending):>8} {_seconds(one.oldest_due_seconds):>11} "
            f"{_seconds(one.next_due_seconds):>9} {_count(one.succeeded):>8} {_count(one.failed):>7}"
        )
    if not state.types:
        lines.append("(no tasks)")
    lines += ["", "SHARDS"]
    lines += [f"{count:>6}  {owner or '(no owner)'}" for owner, count in state.owners.items()]
    if not state.owners:
        lines.append("(no scheduler has started yet)")
    if state.dead_letters:
        lines += ["", "LATEST DEAD LETTERS"]
    for letter in state.dead_letters:
        last_error = letter.log.splitlines()[0] if letter.log else ""
        lines.append(f"{letter.task_id}  {letter.task_type}  key={letter.key}  retries={letter.retry_count}")
        lines.append(f"    {last_error}")
    return "\n".join(lines)


def _named(one: TypeReport) -> str:
    return one.task_type if one.enabled else f"{one.task_type} (off)"


def _count(count: int) -> str:
    return f">={COUNT_LIMIT}" if count >= COUNT_LIMIT else str(count)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
