"""The client of one process: each question to the ensemble ends within a limit, whatever the ensemble does."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from asyncflow.errors import RegistryAwayError
from asyncflow.forks import keep_for_ever, leave_at_fork
from asyncflow.integrations.zookeeper.client_log import LOGGER, KazooLog
from asyncflow.integrations.zookeeper.extras import kazoo
from asyncflow.scheduler.publishing.sessions.texts import one_line

_LONGEST_ANSWER_SECONDS = 2.0
_END_SECONDS = 2.0
_LOOK_SECONDS = 0.02  # at a client that connects
_GIVEN_UP = ("AUTH_FAILED", "CLOSED")
# Who is back must not be waited for by a minute, which is kazoo's default.
_RETRY = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 1.0}

LibraryClient = Any
ZooKeeperQuestion = Callable[[LibraryClient], Any]  # asks at once, and returns where the answer will be


@dataclass(frozen=True)
class EnsembleLimits:
    """Hold how long a session lasts unheard, and how long a first connection may take, in seconds."""

    session_seconds: float
    connect_seconds: float

    @property
    def answer_seconds(self) -> float:
        """Return how long the answers to one look may take: several looks fit into what a session outlasts."""
        return min(self.session_seconds / 4, _LONGEST_ANSWER_SECONDS)

    @property
    def rest_seconds(self) -> float:
        """Return how long, after a question that was answered, nobody can have been told of the session's end.

        The server that answers tells the leader of it within half a tick, and a session is of two ticks at the least.
        """
        return self.session_seconds * 2 / 3


class EnsembleSession:
    """Hold one client, from ``open`` to ``end``, and again; any thread may ask."""

    def __init__(self, hosts: str, limits: EnsembleLimits, options: dict[str, Any]) -> None:
        self.limits = limits
        self._hosts = hosts
        self._options = options
        self._client: LibraryClient = None
        self._log = KazooLog(LOGGER, {})
        self._begun_at = 0.0
        self._lock = threading.Lock()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Begin anew without a client: called by a fork, in which the parent's must be neither used nor ended."""
        client, self._client = self._client, None
        self._lock = threading.Lock()
        if client is not None:
            atexit.unregister(client.handler.stop)
            keep_for_ever(client)

    @property
    def number(self) -> int | None:
        """Return the number of the session that lasts; None while there is no connection."""
        client = self._client
        known = client.client_id if client is not None else None
        return None if known is None else int(known[0])

    def begin(self) -> None:
        """Begin to connect, unless that was begun, or anew after a client that has given up; waits for nothing."""
        with self._lock:
            if self._client is not None and self._has_given_up(self._client):
                _end_beside(self._client)
                self._client = None
            if self._client is None:
                self._client = self._begun()

    def open(self) -> None:
        """Connect, unless there is a connection; raises RegistryAwayError."""
        self.begin()
        client = self._client
        deadline = time.monotonic() + self.limits.connect_seconds
        while not client.connected:
            if time.monotonic() > deadline:
                how = one_line(client.client_state, self._log.trouble)
                self.end()
                raise RegistryAwayError(
                    f"ZooKeeper at {self._hosts} gave no session within {self.limits.connect_seconds:g} s ({how}); "
                    f"look whether it runs, and what it says of this host and its log-in"
                )
            time.sleep(_LOOK_SECONDS)

    def end(self) -> None:
        """End the session, and its nodes with it; those of an ensemble that is silent end when it has timed out."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.remove_listener(self._tell)
            _end_beside(client).join(_END_SECONDS)

    def answers(self, questions: Iterable[ZooKeeperQuestion]) -> list[Any]:
        """Ask all at once; return the answers in order, an error of a node in place of its answer.

        Raises RegistryAwayError when the last has not come within ``answer_seconds``.
        """
        client, exceptions = self._client, kazoo().exceptions
        if client is None:
            raise RegistryAwayError("there is no session with ZooKeeper")
        deadline = time.monotonic() + self.limits.answer_seconds
        answers: list[Any] = []
        for awaited in [question(client) for question in questions]:
            try:
                answers.append(awaited.get(timeout=max(0.0, deadline - time.monotonic())))
            except (exceptions.NoNodeError, exceptions.NodeExistsError, exceptions.BadVersionError) as error:
                answers.append(error)
            except client.handler.timeout_exception as error:
                raise RegistryAwayError(f"ZooKeeper at {self._hosts} did not answer in time") from error
            except exceptions.KazooException as error:
                raise RegistryAwayError(f"ZooKeeper at {self._hosts} failed: {error!r}") from error
        return answers

    def _begun(self) -> LibraryClient:
        self._log = KazooLog(LOGGER, {})
        client = kazoo().client.KazooClient(
            self._hosts,
            timeout=self.limits.session_seconds,
            connection_retry=dict(_RETRY),
            logger=self._log,
            **self._options,
        )
        client.add_listener(self._tell)
        self._begun_at = time.monotonic()
        client.start_async()
        return client

    def _has_given_up(self, client: LibraryClient) -> bool:
        """Tell whether its thread has ended: by a log-in that was refused, or by an error of its own."""
        is_old = time.monotonic() - self._begun_at > self.limits.connect_seconds
        return is_old and client.client_state in _GIVEN_UP

    def _tell(self, state: str) -> None:
        """Log what becomes of the connection; called on the client's thread, which must not wait."""
        if state == "SUSPENDED":
            LOGGER.warning("the connection to ZooKeeper at %s is lost; it is sought anew", self._hosts)
        elif state == "LOST":
            LOGGER.warning("the session with ZooKeeper at %s has ended; a new one is sought", self._hosts)
        else:
            LOGGER.info("connected to ZooKeeper at %s", self._hosts)


def _end_beside(client: LibraryClient) -> threading.Thread:
    thread = threading.Thread(target=_end, args=(client,), name="asyncflow-zookeeper-end", daemon=True)
    thread.start()
    return thread


def _end(client: LibraryClient) -> None:
    try:
        client.stop()
        client.close()
    except Exception as error:  # noqa: BLE001 - a silent ensemble; the session ends by itself
        LOGGER.log(logging.DEBUG, "ZooKeeper's client did not end well: %r", error)
