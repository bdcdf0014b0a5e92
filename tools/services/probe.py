"""Whether a service answers: the first message of each protocol, by hand, as no driver is installed yet."""

from __future__ import annotations

import socket
import struct

_TIMEOUT_SECONDS = 2.0

_POSTGRESQL_PROTOCOL = 3 << 16
_KAFKA_API_VERSIONS = 18


def mariadb_answers(host: str, port: int) -> bool:
    """Tell whether the server greets with protocol version 10; an error packet would hold 0xff there."""
    greeting = _ask(host, port, b"")
    return greeting[4:5] == b"\x0a"


def postgresql_answers(host: str, port: int) -> bool:
    """Tell whether the server asks for a password; while it starts up or recovers it sends error 57P03."""
    words = b"user\0asyncflow\0database\0asyncflow\0\0"
    reply = _ask(host, port, struct.pack(">ii", len(words) + 8, _POSTGRESQL_PROTOCOL) + words)
    return reply[:1] == b"R" or (reply[:1] == b"E" and b"57P03" not in reply)


def kafka_answers(host: str, port: int) -> bool:
    """Tell whether the broker answers ApiVersions, which it does once it may serve requests."""
    client = b"asyncflow"
    body = struct.pack(">hhih", _KAFKA_API_VERSIONS, 0, 1, len(client)) + client
    reply = _ask(host, port, struct.pack(">i", len(body)) + body)
    return reply[4:10] == struct.pack(">ih", 1, 0)


def rabbitmq_answers(host: str, port: int) -> bool:
    """Tell whether the broker begins a connection of AMQP 0-9-1: with a frame that holds a method."""
    return _ask(host, port, b"AMQP\x00\x00\x09\x01")[:1] == b"\x01"


def redis_answers(host: str, port: int) -> bool:
    """Tell whether the server answers; while it loads its data it sends an error."""
    return _ask(host, port, b"PING\r\n").startswith(b"+PONG")


def nats_answers(host: str, port: int) -> bool:
    """Tell whether the server greets a client, which it does once JetStream serves."""
    return _ask(host, port, b"").startswith(b"INFO {")


def zookeeper_answers(host: str, port: int) -> bool:
    """Tell whether the server says that it is well, which it does once it may serve requests."""
    return _ask(host, port, b"ruok") == b"imok"


def etcd_answers(host: str, port: int) -> bool:
    """Tell whether the server says that it is well, which it does once it has a leader."""
    return b'"health":"true"' in _ask(host, port, b"GET /health HTTP/1.0\r\n\r\n")


def http_answers(host: str, port: int) -> bool:
    """Tell whether what is asked for its first page says that all is well."""
    return b" 200 " in _ask(host, port, b"GET / HTTP/1.0\r\n\r\n")[:15]


def speaks_http2(host: str, port: int) -> bool:
    """Tell whether the server begins HTTP/2, by which gRPC goes: with a frame of its settings."""
    nothing_to_set = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
    return _ask(host, port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + nothing_to_set)[3:4] == b"\x04"


def _ask(host: str, port: int, request: bytes) -> bytes:
    """Send a request, and return the beginning of the reply, or nothing."""
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            return connection.recv(1024)
    except OSError:
        return b""
