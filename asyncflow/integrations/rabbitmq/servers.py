"""Where the brokers are, as pika's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from asyncflow.errors import OptionError
from asyncflow.integrations.rabbitmq.settings import RabbitMQSettings
from asyncflow.text import a_type_of

WANTED = "give amqp://USER:PASSWORD@HOST:PORT/VHOST, amqps:// for TLS, or pika.ConnectionParameters; several as a list"


def parameters_of(library: ModuleType, servers: Any, settings: RabbitMQSettings) -> list[Any]:
    """Return pika's parameters for each server, with a limit for every wait; raise OptionError for one at fault."""
    each = list(servers) if isinstance(servers, Sequence) and not isinstance(servers, str) else [servers]
    if not each:
        raise OptionError(f"servers is empty; {WANTED}")
    return [_limited(_parameters(library, server), settings) for server in each]


def place_of(parameters: Sequence[Any]) -> str:
    """Return where the servers are, without who logs in there."""
    return ", ".join(f"{one.host}:{one.port}" for one in parameters)


def _parameters(library: ModuleType, server: Any) -> Any:
    if isinstance(server, library.connection.Parameters):
        return copy(server)
    if not isinstance(server, str):
        raise OptionError(f"servers holds {a_type_of(server)}; {WANTED}")
    try:
        parts = urlsplit(server)
        fault = _fault(parts.scheme, parts.hostname)
    except ValueError as error:
        fault = str(error)
    if fault:
        raise OptionError(f"servers: {fault}; {WANTED}")
    try:
        return library.URLParameters(server)
    except Exception as error:  # noqa: BLE001 - for a bad value it raises anything; its text may hold the password
        name = type(error).__name__
        raise OptionError(f"servers: pika does not understand the URL of {parts.hostname} ({name}); {WANTED}") from None


def _fault(scheme: str, host: str | None) -> str | None:
    if scheme not in ("amqp", "amqps"):
        return f"a URL begins with {scheme!r}"
    return None if host else "a URL names no host"


def _limited(parameters: Any, settings: RabbitMQSettings) -> Any:
    """Return the parameters with our limits: of pika's own some are None, which is for ever."""
    seconds = settings.delivery_timeout_seconds
    limits = {
        "socket_timeout": min(parameters.socket_timeout or seconds, seconds),
        "stack_timeout": min(parameters.stack_timeout or seconds, seconds),
        "blocked_connection_timeout": min(parameters.blocked_connection_timeout or seconds, seconds),
        "heartbeat": settings.heartbeat_seconds if parameters.heartbeat is None else parameters.heartbeat,
        "client_properties": {"connection_name": settings.connection_name, **(parameters.client_properties or {})},
    }
    for name, value in limits.items():
        setattr(parameters, name, value)
    return parameters
