"""Where instances give signs of life in etcd: what an application gives its scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from asyncflow.errors import OptionError
from asyncflow.integrations.etcd.board import EtcdBoard
from asyncflow.integrations.etcd.members import Members
from asyncflow.outbox.options import FILE, options_given, refuse_unknown, require_kinds, require_seconds
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.ownership import instance_name
from asyncflow.scheduler.cluster.registry import Registry
from asyncflow.scheduler.cluster.signs.board_registry import BoardRegistry
from asyncflow.scheduler.cluster.signs.life_signs import LifeSigns
from asyncflow.scheduler.cluster.signs.sign_watch import SignSession
from asyncflow.text import a_type_of, shown

LEAST_SESSION_SECONDS, LONGEST_SESSION_SECONDS = 4.0, 300.0
CLIENT_OPTIONS = ("ca_cert", "cert_cert", "cert_key")
_SHORTEST_LEASE_SECONDS = 2  # that etcd grants, as it is usually set
_HEARTBEATS_A_SESSION = 4
_LONGEST_ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class EtcdRegistry:
    """Let the instances of a scheduler hear of each other by etcd: ``Scheduler(..., registry=EtcdRegistry(urls))``.

    ``urls`` are those of the members, ``https://HOST:PORT`` with commas between; all keys are below ``namespace``. An
    instance that gives no sign of life for ``session_timeout_seconds`` is missed, a third of which is a lease in etcd.
    While etcd is away all goes by the leases in the database. ``client_options`` are files: ``ca_cert``, and
    ``cert_cert`` with ``cert_key``.

    Raises OptionError, UnknownOptionError or MissingExtraError.
    """

    urls: str
    namespace: str = field(default="asyncflow", kw_only=True)
    session_timeout_seconds: float = field(default=6.0, kw_only=True)
    client_options: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        """Refuse what leads nowhere."""
        if not isinstance(self.namespace, str) or not all(self.namespace.split("/")):
            raise OptionError(f"namespace is {shown(self.namespace)}; give a name, or several with '/' between")
        seconds = self.session_timeout_seconds
        require_seconds("session_timeout_seconds", seconds, LEAST_SESSION_SECONDS, LONGEST_SESSION_SECONDS)
        refuse_unknown("client_options", options_given(self.client_options), CLIENT_OPTIONS)
        require_kinds(self.client_options, dict.fromkeys(CLIENT_OPTIONS, FILE))
        if ("cert_cert" in self.client_options) != ("cert_key" in self.client_options):
            raise OptionError("client_options has one of cert_cert and cert_key; give both, or none")
        if self.client_options and any(one.scheme == "http" for one in _members(self.urls)):
            raise OptionError(
                "client_options holds files of TLS, and urls has http://, which goes without; give https://"
            )
        self._board()

    def instance_name(self) -> str:
        """Return host, process and some luck."""
        return instance_name()

    def make(self, database: DatabaseRegistry) -> Registry:
        """Return the registry of one instance; it connects when the instance joins.

        Raises OptionError if the heart beats too rarely for the session.
        """
        heartbeat, clock = database.rhythm.heartbeat_seconds, database.rhythm.clock
        if heartbeat * _HEARTBEATS_A_SESSION > self._silence_seconds:
            most = self._silence_seconds / _HEARTBEATS_A_SESSION
            raise OptionError(
                f"heartbeat_seconds is {heartbeat!r}; give at most {most:g}, a quarter of what is left of "
                f"session_timeout_seconds ({self.session_timeout_seconds!r}) behind the lease in etcd: a late "
                f"heartbeat must not cost the session"
            )
        session = SignSession(self._silence_seconds)
        return BoardRegistry(database, LifeSigns(self._board(), database.instance, session, clock))

    @property
    def _lease_seconds(self) -> int:
        return max(_SHORTEST_LEASE_SECONDS, round(self.session_timeout_seconds / 3))

    @property
    def _silence_seconds(self) -> float:
        """Return what is left when the lease in etcd has ended: only then signs begin to be the same."""
        return self.session_timeout_seconds - self._lease_seconds

    def _board(self) -> EtcdBoard:
        # Each look asks twice, and several fit into what a session outlasts.
        answer_seconds = min(self._silence_seconds / 6, _LONGEST_ANSWER_SECONDS)
        members = Members(_members(self.urls), self.client_options, answer_seconds)
        return EtcdBoard(members, self.namespace, self._lease_seconds)


def _members(urls: object) -> list[SplitResult]:
    wanted = "give text, such as 'https://etcd1:2379,https://etcd2:2379'"
    if not isinstance(urls, str):
        raise OptionError(f"urls is {a_type_of(urls)}; {wanted}")
    try:
        found = [urlsplit(url.strip()) for url in urls.split(",")]
    except ValueError as error:
        raise OptionError(f"urls cannot be read: {error}; {wanted}") from None
    for one in found:
        if one.scheme not in ("http", "https"):
            raise OptionError(f"urls has one that begins with {one.scheme!r}; {wanted}")
        try:
            is_well = one.hostname and one.port != 0
        except ValueError:  # a port that is none
            is_well = False
        if not is_well or one.username is not None or one.path.strip("/"):
            raise OptionError(f"urls has {one.scheme}://{one.hostname}; {wanted}, without a log-in or a path")
    return found
