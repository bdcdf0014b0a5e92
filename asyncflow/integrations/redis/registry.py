"""Where instances give signs of life in Redis: what an application gives its scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.integrations.redis import extras
from asyncflow.integrations.redis.board import RedisBoard
from asyncflow.integrations.redis.server import RedisServer
from asyncflow.outbox.options import require_seconds
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.ownership import instance_name
from asyncflow.scheduler.cluster.registry import Registry
from asyncflow.scheduler.cluster.signs.board_registry import BoardRegistry
from asyncflow.scheduler.cluster.signs.life_signs import LifeSigns
from asyncflow.scheduler.cluster.signs.sign_watch import SignSession
from asyncflow.text import shown

LEAST_SESSION_SECONDS, LONGEST_SESSION_SECONDS = 1.0, 300.0
_HEARTBEATS_A_SESSION = 4
_LONGEST_ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class RedisRegistry:
    """Let the instances of a scheduler hear of each other by Redis: ``Scheduler(..., registry=RedisRegistry(url))``.

    ``url`` is ``redis://USER:PASSWORD@HOST:PORT/DATABASE``, with TLS ``rediss://``; all keys begin with ``namespace``.
    An instance that gives no sign of life for ``session_timeout_seconds`` is missed. While Redis is away all goes by
    the leases in the database. ``client_options`` are those of ``redis.Redis``, such as ``ssl_ca_certs``.

    Raises OptionError or MissingExtraError.
    """

    url: str = field(repr=False)
    namespace: str = field(default="asyncflow", kw_only=True)
    session_timeout_seconds: float = field(default=4.0, kw_only=True)
    client_options: Mapping[str, Any] = field(default_factory=dict, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        """Refuse what leads nowhere."""
        if not isinstance(self.namespace, str) or not self.namespace.strip():
            raise OptionError(f"namespace is {shown(self.namespace)}; give a name, such as 'shop'")
        seconds = self.session_timeout_seconds
        require_seconds("session_timeout_seconds", seconds, LEAST_SESSION_SECONDS, LONGEST_SESSION_SECONDS)
        self._board()

    def instance_name(self) -> str:
        """Return host, process and some luck."""
        return instance_name()

    def make(self, database: DatabaseRegistry) -> Registry:
        """Return the registry of one instance; it connects when the instance joins.

        Raises OptionError if the heart beats too rarely for the session.
        """
        heartbeat, clock = database.rhythm.heartbeat_seconds, database.rhythm.clock
        if heartbeat * _HEARTBEATS_A_SESSION > self.session_timeout_seconds:
            raise OptionError(
                f"heartbeat_seconds is {heartbeat!r}; give at most a quarter of session_timeout_seconds, which is "
                f"{self.session_timeout_seconds!r}: a late heartbeat must not cost the session"
            )
        session = SignSession(self.session_timeout_seconds)
        return BoardRegistry(database, LifeSigns(self._board(), database.instance, session, clock))

    def _board(self) -> RedisBoard:
        library = extras.redis_py("RedisRegistry")
        # Several looks fit into what a session outlasts.
        answer_seconds = min(self.session_timeout_seconds / 4, _LONGEST_ANSWER_SECONDS)
        server = RedisServer(library, self.url, answer_seconds, self.client_options, "session_timeout_seconds")
        return RedisBoard(library, server, self.namespace)
