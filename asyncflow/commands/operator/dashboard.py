"""``asyncflow dashboard``: serve the pages that say what is stuck, why, and what mends it."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError

from asyncflow.commands.database import add_database_options
from asyncflow.commands.databases.named import engines_named
from asyncflow.commands.printing import tell
from asyncflow.commands.processes.log import add_log_options, show_log
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.commands.target import made_at
from asyncflow.errors import ConnectionSilentError, OptionError
from asyncflow.outbox import Outbox
from asyncflow.scheduler import Scheduler
from asyncflow.scheduler.branches.engines import Engines
from asyncflow.scheduler.cluster.shard_count import recorded_shard_count

SECRET_VARIABLE = "ASYNCFLOW_DASHBOARD_SECRET"
_NEVER_STARTED = 1
_ROLES = ("viewer", "operator", "admin")
_WANTED = "a Scheduler, a Dashboard, an Outbox beside --database-url, or a function that makes one"


def add_to(commands: Any) -> None:
    """Add the command."""
    sub = commands.add_parser("dashboard", help="serve pages that say what is stuck, until SIGTERM or SIGINT")
    add_database_options(sub)
    sub.add_argument("--host", default="127.0.0.1", help="to listen on (default: %(default)s)")
    sub.add_argument("--port", type=int, default=8090, help="to listen on (default: %(default)s)")
    sub.add_argument("--users", metavar="FILE", help="TOML with [[users]]; without, this machine alone may look")
    sub.add_argument("--proxy-header", metavar="NAME", help="in which a proxy names who has signed in there")
    sub.add_argument("--proxy-network", action="append", metavar="NETWORK", help="of that proxy, such as 10.0.0.5/32")
    sub.add_argument("--role", default="viewer", choices=_ROLES, help="of those, or with --hash (default: %(default)s)")
    sub.add_argument("--title", default="asyncflow", help="on each page (default: %(default)s)")
    sub.add_argument("--trace-url", metavar="URL", help="where a trace is looked at, with {trace_id} in it")
    sub.add_argument("--secret-file", metavar="FILE", help=f"signs sessions; else ${SECRET_VARIABLE}, or a random one")
    sub.add_argument("--hash", metavar="NAME", help="ask for a password, and print the [[users]] of that user")
    add_log_options(sub, "log more")
    sub.set_defaults(command=_dashboard)


def _dashboard(options: argparse.Namespace) -> int:
    if options.hash is not None:
        tell(hashed(options.hash, options.role))
        return 0
    with StopSignals() as signals:
        with signals.cutting_short():
            show_log(options)
            from asyncflow.integrations.dashboard.server import serve

            dashboard = _made(options)
        came_up = serve(dashboard, options.host, options.port, lambda: signals.is_heard)
        return 0 if came_up else _NEVER_STARTED


def _made(options: argparse.Namespace) -> Any:
    from asyncflow.integrations.dashboard import Dashboard, DashboardSettings

    target = made_at(options.target, (Scheduler, Outbox, Dashboard), _WANTED) if options.target else None
    if isinstance(target, Dashboard):
        return target
    engine, outbox = _database(options, target)
    settings = DashboardSettings(title=options.title, secret=_secret(options.secret_file), trace_url=options.trace_url)
    return Dashboard(engine, outbox, users=users_of(options), settings=settings)


def _database(options: argparse.Namespace, target: Scheduler | Outbox | None) -> tuple[Engines, Outbox]:
    """Return the engine, or those of several databases of which none is named."""
    if isinstance(target, Scheduler):
        is_of_all = target.databases and options.database is None
        return target.engines if is_of_all else target.engine_of(options.database), target.outbox
    engine = engines_named(options, pool_pre_ping=True, hide_parameters=True)
    if target is not None:
        return engine, target
    outbox = Outbox(MetaData(), prefix=options.prefix, schema=options.schema)
    if (count := _shard_count(engine, outbox)) is not None:
        outbox = Outbox(MetaData(), prefix=options.prefix, schema=options.schema, shard_count=count)
    return engine, outbox


def _shard_count(engine: Engines, outbox: Outbox) -> int | None:
    """Return how many shards are recorded; of several databases, by the first that answers."""
    if not isinstance(engine, Mapping):
        return recorded_shard_count(engine, outbox)
    for one in engine.values():
        with suppress(DBAPIError, ConnectionSilentError):
            return recorded_shard_count(one, outbox)
    return None


def users_of(options: argparse.Namespace) -> Any:
    """Return who may sign in, as the options say; raises OptionError."""
    from asyncflow.integrations.dashboard import TrustedProxy, UsersFile

    if bool(options.proxy_header) != bool(options.proxy_network):
        raise OptionError("--proxy-header and --proxy-network go together, as anybody can send a header; give both")
    if options.proxy_header and options.users:
        raise OptionError("--users and --proxy-header are both given; give one of them")
    if options.proxy_header:
        return TrustedProxy(options.proxy_header, options.proxy_network, role=options.role)
    return UsersFile(options.users) if options.users else None


def hashed(name: str, role: str) -> str:
    """Ask for a password, and return the lines of its user for the file; raises OptionError."""
    from asyncflow.integrations.dashboard import Person
    from asyncflow.integrations.dashboard.door.passwords import PasswordHash

    person = Person(name, role)  # type: ignore[arg-type]
    told = json.dumps(person.name, ensure_ascii=False)  # as TOML writes text, too
    return f'[[users]]\nname = {told}\nrole = "{person.role.value}"\nscrypt = "{PasswordHash.of(_password()).text}"'


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Once more: "):
        raise OptionError("the two passwords differ; nothing was made")
    return password


def _secret(path: str | None) -> str | None:
    if path is None:
        return os.environ.get(SECRET_VARIABLE) or None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"--secret-file {path!r} cannot be read: {error}") from None
