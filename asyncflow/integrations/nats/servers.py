"""Where the servers are, and what nats-py is told of them."""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from types import ModuleType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from asyncflow.errors import OptionError, UnreachableError
from asyncflow.integrations.nats import extras
from asyncflow.integrations.nats.connection import NatsConnection
from asyncflow.integrations.nats.settings import NatsSettings
from asyncflow.outbox.options import FILE, FLAG, TEXT, OptionKind, options_given, require_kinds
from asyncflow.text import a_type_of

WANTED = "give nats://USER:PASSWORD@HOST:PORT, or tls:// for TLS; several as a list"
_RECONNECTS = "the outbox connects again, and knows what was sent"
_OURS = "the publisher hears that itself"
# What the publisher decides itself, and how to say it.
OWN = {
    "servers": "they are the publisher's first argument",
    "name": "use NatsSettings(connection_name=...)",
    "connect_timeout": "use NatsSettings(delivery_timeout_seconds=...)",
    "skip_subject_validation": "it would let a subject hold commands",
    **dict.fromkeys(("allow_reconnect", "max_reconnect_attempts", "reconnect_time_wait"), _RECONNECTS),
    **dict.fromkeys(("reconnected_cb", "reconnect_to_server_handler"), _RECONNECTS),
    **dict.fromkeys(("error_cb", "disconnected_cb", "closed_cb", "discovered_server_cb", "lame_duck_mode_cb"), _OURS),
}
# nats-py takes an empty one for none, and goes without log-in or without encryption.
KINDS = {
    **dict.fromkeys(("user", "password", "nkeys_seed_str", "tls_hostname"), TEXT),
    "nkeys_seed": FILE,
    "token": OptionKind((str, Callable), "a text, or a function"),  # type: ignore[arg-type]  # it is none for mypy
    "tls": OptionKind((ssl.SSLContext,), "an ssl.SSLContext"),
    "tls_handshake_first": FLAG,
}
SIGNED = ("user_credentials", "nkeys_seed", "nkeys_seed_str")

Made = TypeVar("Made")


class ServerAddress(NamedTuple):
    """Say where one server is, and how to connect to it."""

    library: ModuleType
    url: str
    settings: NatsSettings
    options: Mapping[str, Any]


class Servers:
    """Connect to the first server that answers; lives as long as its publisher, or its consumer."""

    def __init__(self, servers: Any, settings: NatsSettings, options: object) -> None:
        """Check all of it and connect to nothing; raise OptionError or MissingExtraError."""
        self._library = extras.nats_py()
        self._settings = settings
        self._urls = _checked(servers)
        self._options = options_given(options)
        _require_options(self._library, self._options)
        _require_stream(self._library, settings.stream)

    def connect(self, deadline: float) -> NatsConnection:
        """Return a connection; raise UnreachableError if there is none by ``deadline`` (monotonic seconds)."""
        return self.first(self._connection, deadline)

    def first(self, make: Callable[[str, float], Made], deadline: float) -> Made:
        """Return what is made of the first URL for which that raises no UnreachableError; raise the last of these."""
        why = "no server answered in time"
        for number, url in enumerate(self._urls):
            now = monotonic()
            if now >= deadline:
                break
            share = now + (deadline - now) / (len(self._urls) - number)  # one that is silent leaves time for the others
            try:
                return make(url, share)
            except UnreachableError as error:
                why = str(error)
        raise UnreachableError(why)

    def address(self, url: str) -> ServerAddress:
        """Return what is needed to connect to one of them."""
        return ServerAddress(self._library, url, self._settings, self._options)

    def _connection(self, url: str, deadline: float) -> NatsConnection:
        return NatsConnection(self._library, url, self._settings, self._options, deadline)


def _checked(servers: Any) -> list[str]:
    urls = [servers] if isinstance(servers, str) else servers
    if not isinstance(urls, Sequence) or isinstance(urls, bytes) or not urls:
        raise OptionError(f"servers is {'empty' if urls == [] else a_type_of(servers)}; {WANTED}")
    for url in urls:
        if fault := _fault(url):
            raise OptionError(f"servers: {fault}; {WANTED}")
    return list(urls)


def _fault(url: Any) -> str | None:
    """Return what is at fault; without the URL, which may hold a password."""
    if not isinstance(url, str):
        return f"it holds {a_type_of(url)}"
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("nats", "tls"):
            return "a URL begins with another word than nats:// or tls://"
        _ = parts.port
        return None if parts.hostname else "a URL names no host"
    except ValueError:
        return "a URL has a port that is no number of one"


def _require_options(library: ModuleType, options: Mapping[str, Any]) -> None:
    for name, remedy in OWN.items():
        if name in options:
            raise OptionError(f"client option {name} is refused: {remedy}")
    known = inspect.signature(library.NATS.connect).parameters
    for name in options:
        if name not in known or name == "self":
            raise OptionError(f"client option {name} is refused: nats-py has none of this name")
    require_kinds(options, KINDS)
    for name in SIGNED:
        if name in options:
            if not options[name]:
                raise OptionError(f"client option {name} is empty; give it as nats-py takes it, or leave it out")
            extras.require_nkeys(f"client option {name}")


def _require_stream(library: ModuleType, stream: Any) -> None:
    if stream is None:
        return
    if not isinstance(stream, library.js.api.StreamConfig) or not stream.name or not stream.subjects:
        raise OptionError(f"stream={stream!r} is refused: give a nats.js.api.StreamConfig with name and subjects")
