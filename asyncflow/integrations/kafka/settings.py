"""What both publishers understand, in words of our own; each turns it into its client's options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.outbox.options import require_seconds
from asyncflow.text import a_type_of

COMPRESSIONS = ("gzip", "lz4", "snappy", "zstd")
SASL_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_GIVE_SERVERS = "give host:port, several by commas or as a list"
MIN_TIMEOUT_SECONDS = 1.0
MAX_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class KafkaTls:
    """Encrypt the connection. Files are PEM.

    ``ca_file`` holds the authorities to trust (default: the system's); ``certificate_file`` and ``key_file``
    identify this client, ``key_password`` opens the key; ``verify_host`` compares the broker's name with its
    certificate.
    """

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)
    verify_host: bool = True

    def __post_init__(self) -> None:
        """Refuse what a client would take for nothing, and go on without."""
        for name in ("ca_file", "certificate_file", "key_file", "key_password"):
            if getattr(self, name) is not None:
                _require_text("tls", name, getattr(self, name))
        if self.key_file is not None and self.certificate_file is None:
            raise OptionError("tls has key_file without certificate_file; give both, or none")
        if not isinstance(self.verify_host, bool):
            raise OptionError(f"verify_host of tls is {a_type_of(self.verify_host)}; give True or False")


@dataclass(frozen=True, kw_only=True)
class KafkaSasl:
    """Log in with a name and a password; other mechanisms go through ``client_options``."""

    username: str
    password: str = field(repr=False)
    mechanism: str = "PLAIN"

    def __post_init__(self) -> None:
        """Refuse a mechanism that takes no name and password, and a name or a password that is none."""
        for name in ("username", "password"):
            _require_text("sasl", name, getattr(self, name))
        _one_of("mechanism", self.mechanism, SASL_MECHANISMS)


@dataclass(frozen=True, kw_only=True)
class KafkaSettings:
    """Configure a publisher, whichever client it runs on.

    ``client_id`` names this client in the broker's logs and quotas. ``delivery_timeout_seconds`` bounds one
    ``publish``: what the broker has not acknowledged by then is Unavailable. The default of 10 seconds outlasts the
    election of a new partition leader, about 9 seconds after a broker's death; only this destination's thread waits.
    ``compression`` is None, gzip, lz4, snappy or zstd.
    """

    client_id: str = "asyncflow"
    delivery_timeout_seconds: float = 10.0
    compression: str | None = None
    tls: KafkaTls | None = None
    sasl: KafkaSasl | None = None

    def __post_init__(self) -> None:
        """Refuse what no client could use."""
        _require_text("settings", "client_id", self.client_id)
        seconds = self.delivery_timeout_seconds
        require_seconds("delivery_timeout_seconds", seconds, MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS)
        if self.compression is not None:
            _one_of("compression", self.compression, COMPRESSIONS)
        for name, given, kind in (("tls", self.tls, KafkaTls), ("sasl", self.sasl, KafkaSasl)):
            if given is not None and not isinstance(given, kind):  # told without its value, which may hold a password
                raise OptionError(f"{name} is {a_type_of(given)}; give {kind.__name__}(...), or leave it out")

    @property
    def security_protocol(self) -> str:
        """Return Kafka's name for the pair of encryption and log-in."""
        transport = "SSL" if self.tls else "PLAINTEXT"
        return f"SASL_{transport}" if self.sasl else transport


def server_list(bootstrap_servers: str | Sequence[str]) -> str:
    """Return the servers as one comma-separated text; raise OptionError for one that is no host:port."""
    listed: Any = [bootstrap_servers] if isinstance(bootstrap_servers, str) else bootstrap_servers
    if (
        not isinstance(listed, Iterable)
        or isinstance(listed, Mapping)
        or not all(isinstance(server, str) for server in listed)
    ):
        raise OptionError(f"bootstrap_servers is {a_type_of(bootstrap_servers)}; {_GIVE_SERVERS}")
    servers = ",".join(listed)
    for server in servers.split(","):
        protocol, is_url, _ = server.strip().rpartition("://")
        _, colon, port = server.strip().rpartition(":")
        if not server.strip() or (colon and not _is_port(port) and not port.endswith("]")):
            raise OptionError(f"bootstrap_servers={servers!r} is refused: {_GIVE_SERVERS}")
        if is_url and protocol.upper() not in _PROTOCOLS:
            raise OptionError(
                f"bootstrap_servers={servers!r} is refused: {protocol!r} is no protocol of Kafka's; {_GIVE_SERVERS}"
            )
    return servers


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 65536


def _one_of(option: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise OptionError(f"{option}={value!r} is refused: use one of {', '.join(allowed)}")


def _require_text(where: str, name: str, value: object) -> None:
    """Raise OptionError unless it is a text; the value is told nowhere, for it may be a password."""
    if not isinstance(value, str) or not value:
        raise OptionError(f"{name} of {where} is {'empty' if value == '' else a_type_of(value)}; give a text")
