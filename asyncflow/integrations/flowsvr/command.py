"""The command ``asyncflow serve``: its options, and what it does with them."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_type_hints

from asyncflow.errors import OptionError
from asyncflow.events import Hook
from asyncflow.integrations.flowsvr.door.tokens import Tokens
from asyncflow.integrations.flowsvr.extras import make_app, require_extra
from asyncflow.integrations.flowsvr.settings import ServiceSettings
from asyncflow.networks import is_loopback
from asyncflow.outbox import Outbox
from asyncflow.outbox.options import field_names
from asyncflow.scheduler.branches.engines import Engines

if TYPE_CHECKING:
    from asyncflow.integrations.flowsvr.routes.metrics import ScrapedPage

TOKENS_VARIABLE = "ASYNCFLOW_TOKENS"
_NEVER_STARTED = 1

# Serves, and returns the exit code; it is given what tells whether a signal has come already.
Serve = Callable[[Callable[[], bool]], int]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the service's own options; each setting is one, with dashes."""
    parser.add_argument("--host", default="127.0.0.1", help="to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="to listen on (default: %(default)s)")
    parser.add_argument(
        "--tokens", metavar="FILE|env", help=f"TOML with [[tokens]]; env: the same, in ${TOKENS_VARIABLE}"
    )
    parser.add_argument(
        "--insecure-no-auth", action="store_true", help="let anybody do everything; only on the loopback interface"
    )
    parser.add_argument("--metrics", action="store_true", help="serve metrics at /metrics, to tokens of that role")
    for field in dataclasses.fields(ServiceSettings):
        kind = _KINDS.get(_TYPES[field.name], str)
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=kind, metavar=kind.__name__.upper(), help=f"default: {field.default}")


_TYPES = get_type_hints(ServiceSettings)
_KINDS: dict[Any, type[Any]] = {float: float, int: int, float | None: float, int | None: int}  # of others: text


def settings_of(options: argparse.Namespace) -> ServiceSettings:
    """Return the settings that the options name; raises OptionError."""
    names = field_names(ServiceSettings)
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    return ServiceSettings.of(**given)


def tokens_of(options: argparse.Namespace) -> Tokens:
    """Read the tokens; raises OptionError if there are none, or if anybody could reach a service without."""
    if options.insecure_no_auth:
        if options.tokens:
            raise OptionError("--tokens and --insecure-no-auth are both given; give one of them")
        _require_loopback(options.host)
        return Tokens.none()
    if options.tokens is None:
        raise OptionError("no tokens are named; give --tokens FILE, or --insecure-no-auth on the loopback interface")
    if options.tokens != "env":
        return Tokens.from_file(options.tokens)
    text = os.environ.get(TOKENS_VARIABLE)
    if not text:
        raise OptionError(f"--tokens is env, but ${TOKENS_VARIABLE} is empty; put the TOML of [[tokens]] there")
    return Tokens.from_toml(text, f"${TOKENS_VARIABLE}")


def made(
    engine: Engines, outbox: Outbox, options: argparse.Namespace, hook: Hook, metrics: ScrapedPage | None = None
) -> Serve:
    """Make the service; return what serves until SIGTERM or SIGINT. Raises OptionError or MissingExtraError."""
    require_extra()
    from asyncflow.integrations.flowsvr.server import serve

    if not 0 <= options.port <= 65_535:
        raise OptionError(f"--port is {options.port}; give 0 to 65535")
    tokens, host = tokens_of(options), options.host.removeprefix("[").removesuffix("]")  # as it stands in URLs
    _require_host(host)
    app = make_app(engine, outbox, tokens, settings_of(options), [hook], metrics)
    return lambda is_stopping: 0 if serve(app, host, options.port, is_stopping) else _NEVER_STARTED


def outlive_hangup() -> None:
    """Let a SIGHUP do nothing while the service comes up: the tokens are read all the same."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _require_host(host: str) -> None:
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        told = getattr(error, "strerror", None) or error
        raise OptionError(
            f"--host is {host!r}: {told}; give a name or an address of this machine, such as 127.0.0.1 or ::1"
        ) from None


def _require_loopback(host: str) -> None:
    if not is_loopback(host):
        raise OptionError(
            f"--insecure-no-auth lets anybody who reaches {host!r} do everything; "
            f"give --tokens FILE, or --host 127.0.0.1"
        )
