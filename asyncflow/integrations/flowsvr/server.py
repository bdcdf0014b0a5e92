"""Run the service in a process of its own, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import math
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from asyncflow.errors import OptionError
from asyncflow.integrations.flowsvr.door.connection import MOST_HEAD_BYTES, Connection, Crowd
from asyncflow.integrations.flowsvr.door.tokens import Tokens
from asyncflow.integrations.flowsvr.settings import ServiceSettings
from asyncflow.integrations.flowsvr.together.one_database import OneDatabase
from asyncflow.integrations.flowsvr.together.several_databases import SeveralDatabases
from asyncflow.networks import is_loopback
from asyncflow.text import hide_parameters

_LOG = logging.getLogger("asyncflow.flowsvr")
_OWN_FILES = 64  # beside connections of clients and of the database: logs, libraries, the event loop's own
_MOST_WAITING = 1024  # to be accepted; as many are accepted at once
_TELL_SECONDS = 10.0
_MMAP_THRESHOLD, _LARGE_BYTES = -3, 256 * 1024  # M_MMAP_THRESHOLD of malloc.h


class _Server(uvicorn.Server):
    """Let waiting holds return as soon as the process is asked to stop: uvicorn waits for every response."""

    def __init__(self, config: uvicorn.Config, served: OneDatabase | SeveralDatabases) -> None:
        super().__init__(config)
        self._served = served
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told_at = -_TELL_SECONDS

    async def serve(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Serve until stopped."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._tell)
        await super().serve(sockets)  # type: ignore[arg-type]

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Begin to listen, and say where."""
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            for one in (socket for server in self.servers for socket in server.sockets):
                host, port = one.getsockname()[:2]
                _LOG.info("Serving tasks on http://%s:%d", f"[{host}]" if ":" in host else host, port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop what waits, then the server; a second signal ends the process at once."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._served.stop_waiting)
        super().handle_exit(sig, frame)

    def hear_hangup(self, _: int, __: FrameType | None) -> None:
        """Read the tokens anew, not amidst whatever runs at this moment."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(reload_tokens, self._served.tokens)

    def _tell(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what the event loop tells; not a thousand times a second that no more files can be opened."""
        if "socket" in context and isinstance(context.get("exception"), OSError):
            if time.monotonic() - self._told_at < _TELL_SECONDS:
                return
            self._told_at = time.monotonic()
            _LOG.error("no connection can be accepted: %s; raise ulimit -n", context["exception"])
            return
        hide_parameters(context.get("exception"))
        loop.default_exception_handler(context)


def serve(app: FastAPI, host: str, port: int, is_stopping: Callable[[], bool] = lambda: False) -> bool:
    """Serve until a signal; return whether the service came up, or was asked to stop before it did.

    ``is_stopping`` tells of a signal that came before. SIGHUP has the tokens read anew.
    """
    _give_back_memory()
    served: OneDatabase | SeveralDatabases = app.state.served
    settings = served.settings
    most, backlog = connections_of(settings, resource.getrlimit(resource.RLIMIT_NOFILE)[0], _databases_of(served))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=partial(Connection, Crowd(settings, most)),  # type: ignore[arg-type]
        ws="none",
        backlog=backlog,
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        access_log=False,  # the application writes its own
        log_config=None,
        log_level="error",  # it warns of each request that is none: a line for each that a stranger sends
        server_header=False,
        timeout_keep_alive=math.ceil(settings.idle_timeout_seconds) + 1,  # the connection has a timer of its own
        timeout_graceful_shutdown=max(1, round(settings.stop_timeout_seconds)),
    )
    server = _Server(config, served)
    stops: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        stops.append(number)
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal once more when it has stopped, for whoever handled it before.
        signal.signal(number, stop)
    signal.signal(signal.SIGHUP, server.hear_hangup)
    if is_stopping() or stops:
        return True
    _warn_of_strangers(served.tokens, host)
    server.run()
    return bool(server.started or stops)


def _databases_of(served: OneDatabase | SeveralDatabases) -> int:
    return len(served.apart) if isinstance(served, SeveralDatabases) else 1


def _warn_of_strangers(tokens: Tokens, host: str) -> None:
    if tokens.demanded and not is_loopback(host):
        _LOG.warning("tokens travel to %s without encryption, for all on the way to read; put TLS in front of it", host)
    for token in tokens.known_by_network():
        where = ", ".join(map(str, token.networks))
        _LOG.warning("whoever asks /v1 from %s is %r (%s) without a token", where, token.name, ", ".join(token.roles))


def connections_of(settings: ServiceSettings, files: int, databases: int = 1) -> tuple[int, int]:
    """Return how many connections there may be, and how many may wait to be accepted, within a limit of open files.

    Those that wait are all accepted before the first of them is looked at. Warns if there may be fewer than the
    settings say.
    """
    if files < 0:  # RLIM_INFINITY
        return settings.max_connections, _MOST_WAITING
    backlog = max(1, min(_MOST_WAITING, files // 4))
    room = max(1, files - backlog - databases * settings.threads - _OWN_FILES)
    if room < settings.max_connections:
        text = "max_connections is %d, but with %d open files there may be no more than %d; raise ulimit -n"
        _LOG.warning(text, settings.max_connections, files, room)
    return min(room, settings.max_connections), backlog


def _give_back_memory() -> None:
    """Have large blocks of memory given back as they are freed, as far as the C library lets itself be told.

    glibc learns to keep blocks of up to 32 MB, in a heap for each thread, in which what is smaller lies between them:
    three hundred pages of 4 MB, sent one after the other, left a process with a gigabyte.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def reload_tokens(tokens: Tokens) -> None:
    """Read the tokens anew, and tell of it; those at fault are told of, and the old ones stay."""
    try:
        is_read = tokens.reload()
    except OptionError as error:
        _LOG.error("SIGHUP: the tokens stay as they are: %s", error)
    else:
        _LOG.info("SIGHUP: the tokens were read anew" if is_read else "SIGHUP: there is no tokens file to read anew")
