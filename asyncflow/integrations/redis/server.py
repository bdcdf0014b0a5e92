"""Where the server is, and what redis-py is told of it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from asyncflow.errors import OptionError
from asyncflow.outbox.options import FILE, FLAG, TEXT, OptionKind, options_given, require_kinds
from asyncflow.text import a_type_of, shown

SCHEMES = ("redis", "rediss", "unix")
USUAL_PORT = 6379
DELIVERY_TIMEOUT = "RedisSettings(delivery_timeout_seconds=...)"
# What is decided here, and how to say it.
OWN = {
    "retry": "the outbox tries again; a client's own would send twice what was sent",
    "retry_on_error": "the outbox tries again; a client's own would send twice what was sent",
    "retry_on_timeout": "the outbox tries again; a client's own would send twice what was sent",
    "decode_responses": "answers are read here",
    "max_connections": "there are no more than are needed",
}

# A client takes an empty one for none, and None or False for no look at the certificate.
KINDS = {
    **dict.fromkeys(("username", "password", "ssl_password"), TEXT),
    **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "unix_socket_path"), FILE),
    "ssl_cert_reqs": OptionKind((str, ssl.VerifyMode), "'required', 'optional' or 'none'"),
    "ssl_check_hostname": FLAG,
}

T = TypeVar("T")


class RedisServer:
    """Make clients of one server; lives as long as who uses it."""

    def __init__(
        self,
        library: ModuleType,
        url: object,
        timeout_seconds: float,
        options: object,
        timeout_option: str = DELIVERY_TIMEOUT,
    ) -> None:
        """Check the options and connect to nothing; raise OptionError. ``timeout_option`` is what sets the time-out."""
        self._library = library
        self._url = _checked(url)
        self._timeout_seconds = timeout_seconds
        self._options = options_given(options)
        use = f"use {timeout_option}"
        for name, remedy in (OWN | {"socket_timeout": use, "socket_connect_timeout": use}).items():
            if name in self._options:
                raise OptionError(f"client option {name}={self._options[name]!r} is refused: {remedy}")
        require_kinds(self._options, KINDS)
        self.client(connections=1)

    @property
    def place(self) -> str:
        """Return where it is, without who logs in there."""
        parts = urlsplit(self._url)
        return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{_port(parts)}"

    def client(self, *, connections: int) -> Any:
        """Return a client that has not connected yet, and never tries again by itself; raise OptionError."""
        seconds = self._timeout_seconds
        limits = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "max_connections": connections}
        never = self._library.retry.Retry(self._library.backoff.NoBackoff(), 0)
        try:
            client = self._library.Redis.from_url(self._url, **limits, retry=never, **self._options)
            pool = client.connection_pool
            pool.connection_class(**pool.connection_kwargs)  # which looks at the options, and connects to nothing
        except (TypeError, ValueError) as error:
            raise OptionError(f"url or client_options are refused by redis-py: {error}") from None
        return client

    def ask(self, client: Any, work: Callable[[Any], T]) -> T:
        """Do what may be done twice; once more by a new connection, where the old one was lost while nobody asked."""
        try:
            return work(client)
        except self._library.ConnectionError:
            client.connection_pool.disconnect(inuse_connections=False)
            return work(client)


def _port(parts: SplitResult) -> int:
    return USUAL_PORT if parts.port is None else parts.port


def _checked(url: object) -> str:
    wanted = "give redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS"
    if not isinstance(url, str):
        raise OptionError(f"url is {a_type_of(url)}; {wanted}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise OptionError(f"url cannot be read: {error}; {wanted}") from None
    if parts.scheme not in SCHEMES:
        raise OptionError(f"url begins with {parts.scheme!r}; {wanted}")
    database = parts.path.strip("/")
    # redis-py takes what is no number for the database 0.
    if parts.scheme != "unix" and database and not (database.isascii() and database.isdigit()):
        raise OptionError(f"url names the database {shown(database)}; give a number: {wanted}")
    return url
