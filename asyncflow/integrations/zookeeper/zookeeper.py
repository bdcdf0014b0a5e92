"""Where the ensemble is, and how it is spoken to: what an application gives its scheduler."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.integrations.zookeeper.extras import kazoo
from asyncflow.integrations.zookeeper.presence import Presence
from asyncflow.integrations.zookeeper.registry import ZooKeeperRegistry
from asyncflow.integrations.zookeeper.session import EnsembleLimits, EnsembleSession
from asyncflow.integrations.zookeeper.tree import HOST_AND_REST, Tree
from asyncflow.outbox.options import (
    FILE,
    FLAG,
    TEXT,
    OptionKind,
    options_given,
    refuse_unknown,
    require_kinds,
    require_seconds,
)
from asyncflow.outbox.tables.lengths import OWNER_LENGTH
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.registry import Registry
from asyncflow.text import shown

LONGEST_SESSION_SECONDS = 40.0  # which an ensemble with the usual settings grants; it would shorten more in silence
_HEARTBEATS_A_SESSION = 4
# Of KazooClient, what concerns the way to the ensemble; the rest is ours to set.
CLIENT_OPTIONS = (
    *("auth_data", "default_acl", "sasl_options", "randomize_hosts"),
    *("use_ssl", "ca", "certfile", "keyfile", "keyfile_password", "verify_certs", "check_hostname"),
)
# kazoo takes an empty one for none, and goes without log-in or without encryption.
_OF_TLS = frozenset({"ca", "certfile", "keyfile", "keyfile_password", "verify_certs", "check_hostname"})
_KINDS = {
    **dict.fromkeys(("use_ssl", "verify_certs", "check_hostname", "randomize_hosts"), FLAG),
    **dict.fromkeys(("ca", "certfile", "keyfile"), FILE),
    "keyfile_password": TEXT,
    "auth_data": OptionKind((list, tuple, set, frozenset), "a list of pairs of scheme and credential"),
    "sasl_options": OptionKind((dict,), "a dict of them"),
    "default_acl": OptionKind((list, tuple), "a list of ACLs"),
}


@dataclass(frozen=True)
class ZooKeeper:
    """Let the instances of a scheduler hear of each other by ZooKeeper: ``Scheduler(..., registry=ZooKeeper(...))``.

    ``hosts`` are ``host:port`` with commas between; a chroot may follow, which must be there. Below it all is kept
    under ``namespace``. An instance that dies is missed after ``session_timeout_seconds``; one that cannot reach the
    ensemble rests after two thirds of them. ``connect_timeout_seconds`` bounds the start. ``client_options`` are
    KazooClient's own: log-in, ACL and TLS. With ``auth_data`` the nodes are the creator's alone, unless ``default_acl``
    says otherwise.

    Raises OptionError or UnknownOptionError.
    """

    hosts: str
    namespace: str = field(default="asyncflow", kw_only=True)
    session_timeout_seconds: float = field(default=4.0, kw_only=True)
    connect_timeout_seconds: float = field(default=10.0, kw_only=True)
    client_options: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        """Refuse what leads nowhere."""
        if not isinstance(self.hosts, str) or "://" in self.hosts or not _are_hosts(self.hosts):
            raise OptionError(f"hosts is {shown(self.hosts)}; give text, such as 'zk1:2181,zk2:2181,zk3:2181'")
        segments = self.namespace.split("/") if isinstance(self.namespace, str) else [""]
        if not {"", ".", "..", "zookeeper"}.isdisjoint(segments):
            raise OptionError(f"namespace is {shown(self.namespace)}; give a name, or several with '/' between")
        require_seconds("session_timeout_seconds", self.session_timeout_seconds, 1.0, LONGEST_SESSION_SECONDS)
        require_seconds("connect_timeout_seconds", self.connect_timeout_seconds, 0.1, 300.0)
        refuse_unknown("client_options", options_given(self.client_options), CLIENT_OPTIONS)
        require_kinds(self.client_options, _KINDS)
        if not self.client_options.get("use_ssl") and (tls := sorted(_OF_TLS & self.client_options.keys())):
            raise OptionError(
                f"client option {tls[0]} is of TLS, which goes unused; give use_ssl=True, or leave it out"
            )

    def instance_name(self) -> str:
        """Return host, process and some luck, in the form of ElasticJob's instance ids."""
        rest = f"{os.getpid()}-{secrets.token_hex(4)}"
        host = socket.gethostname()[: OWNER_LENGTH - len(HOST_AND_REST) - len(rest)]
        return f"{host}{HOST_AND_REST}{rest}"

    def make(self, database: DatabaseRegistry) -> Registry:
        """Return the registry of one instance; it connects when the instance joins.

        Raises OptionError if the heart beats too rarely for the session, or MissingExtraError.
        """
        heartbeat = database.rhythm.heartbeat_seconds
        if heartbeat * _HEARTBEATS_A_SESSION > self.session_timeout_seconds:
            raise OptionError(
                f"heartbeat_seconds is {heartbeat!r}; give at most a quarter of session_timeout_seconds, which is "
                f"{self.session_timeout_seconds!r}: a late heartbeat must not cost the session"
            )
        limits = EnsembleLimits(self.session_timeout_seconds, self.connect_timeout_seconds)
        session = EnsembleSession(self.hosts, limits, self._options())
        presence = Presence(session, Tree(self.namespace), database.instance, database.rhythm.clock)
        return ZooKeeperRegistry(database, presence)

    def _options(self) -> dict[str, Any]:
        security = kazoo().security
        options = dict(self.client_options)
        if options.get("auth_data") and options.get("default_acl") is None:
            options["default_acl"] = security.CREATOR_ALL_ACL
        return options


def _are_hosts(hosts: str) -> bool:
    """Tell whether each is a host, with a port or without; what follows the first slash is a chroot."""
    servers, _, _ = hosts.partition("/")
    return all(map(_is_host, servers.split(",")))


def _is_host(server: str) -> bool:
    host, colon, port = server.strip().rpartition(":")
    if not colon or port.endswith("]"):  # an address of IPv6 has colons of its own
        return bool(server.strip())
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
