"""The after-commit wake-up: a commit rings the scheduler in the same process, if there is one.

A hint only: correctness rests on polling. So it never raises, and it may ring for nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, SessionTransaction

from asyncflow.forks import leave_at_fork
from asyncflow.text import hide_parameters

_NOTES = "asyncflow.committing"  # the key in info
COMMITTER = "asyncflow.committer"  # there, where somebody else commits: calls what it is given after the commit

WakeUp = Callable[[frozenset[str]], None]
DatabasePlace = tuple[str, "str | None", "int | None", "str | None"]  # kind of database, host, port, name


def place_of(engine: Engine) -> DatabasePlace:
    """Return where an engine leads to, whichever driver and user it has."""
    url = engine.url
    return url.get_backend_name(), url.host, url.port, url.database


class Bell:
    """Ring the registered schedulers with the task types that were committed, on the thread that commits.

    A listener that has told its place hears of commits there, and of those of which no listener's place is known. The
    listeners are a tuple that is replaced as a whole; schedulers connect and disconnect as they start and stop.
    """

    def __init__(self) -> None:
        self._listeners: tuple[tuple[WakeUp, DatabasePlace | None], ...] = ()
        self._changing = threading.Lock()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Ring nobody: who listens is in the parent, and its locks here may be held for ever."""
        self._listeners = ()
        self._changing = threading.Lock()

    def connect(self, listener: WakeUp, place: DatabasePlace | None = None) -> None:
        """Call ``listener`` with the task types of each commit from now on, on the committing thread."""
        with self._changing:
            self._listeners = (*self._listeners, (listener, place))

    def disconnect(self, listener: WakeUp) -> None:
        """Stop calling ``listener``; unknown ones are ignored."""
        with self._changing:
            self._listeners = tuple(known for known in self._listeners if known[0] != listener)

    def on_commit_of(self, target: Session | Connection, task_type: str) -> None:
        """Ring for ``task_type`` when the target's outermost transaction commits."""
        if not self._listeners:
            return
        if (after_commit := target.info.get(COMMITTER)) is not None:
            after_commit(partial(self.ring, frozenset((task_type,))))
        else:
            _noted(target, self).add(task_type)

    def ring(self, task_types: frozenset[str], target: Session | Connection | None = None) -> None:
        """Call the listeners that a commit of ``target`` concerns, all if that is not known.

        One that raises is reported, for the data is committed already.
        """
        for listener in self._concerned(target):
            try:
                listener(task_types)
            except Exception as error:
                hide_parameters(error)
                logging.getLogger("asyncflow").exception("A wake-up listener raised")

    def _concerned(self, target: Session | Connection | None) -> list[WakeUp]:
        listeners = self._listeners
        if target is not None and any(place is not None for _, place in listeners):
            there = _place_of_target(target)
            if any(place == there for _, place in listeners):
                return [listener for listener, place in listeners if place in (None, there)]
        return [listener for listener, _ in listeners]


def _place_of_target(target: Session | Connection) -> DatabasePlace | None:
    """Return where a Session or Connection writes; None if nobody can tell, as of a Session of several engines."""
    bind = target if isinstance(target, Connection) else _bind_of(target)
    return None if bind is None else place_of(bind.engine)


def _bind_of(session: Session) -> Engine | Connection | None:
    try:
        return session.get_bind()
    except SQLAlchemyError:
        return None


def _noted(target: Session | Connection, bell: Bell) -> set[str]:
    """Return the target's notes of what to ring for; listens on this one object, never on a class."""
    for identifier, listener in _LISTENERS[isinstance(target, Connection)]:
        # A Connection's info outlives it in the pool, its listeners do not: ask for the listener.
        if not event.contains(target, identifier, listener):
            event.listen(target, identifier, listener)
    noted: dict[Bell, set[str]] = target.info.setdefault(_NOTES, {})
    return noted.setdefault(bell, set())


def _ring_outermost(session: Session) -> None:
    # SQLAlchemy calls this for the release of each savepoint as well.
    if session.in_nested_transaction():
        return
    bind = _bind_of(session)
    if isinstance(bind, Connection) and bind.in_transaction():
        _leave_to(bind, session)
    else:
        _ring_noted(session)


def _leave_to(connection: Connection, session: Session) -> None:
    """Let the Connection ring for a session that joined its transaction, which goes on."""
    noted: dict[Bell, set[str]] = session.info.pop(_NOTES, {})
    for bell, task_types in noted.items():
        for task_type in task_types:
            bell.on_commit_of(connection, task_type)


def _ring_noted(target: Any) -> None:
    noted: dict[Bell, set[str]] = target.info.pop(_NOTES, {})
    for bell, task_types in noted.items():
        bell.ring(frozenset(task_types), target)


def _ring_second_phase(connection: Connection, xid: Any, is_prepared: bool) -> None:
    _ring_noted(connection)


def _forget_second_phase(connection: Connection, xid: Any, is_prepared: bool) -> None:
    _forget(connection)


def _forget(connection: Connection) -> None:
    # The info of a connection that was lost is gone with it.
    if not connection.closed and not connection.invalidated:
        connection.info.pop(_NOTES, None)


def _forget_outermost(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_NOTES, None)


# By whether the target is a Connection. Its "commit" comes just before the COMMIT is sent, as that of two phases does;
# the scheduler's pause starts small after a wake-up, so it looks again.
_LISTENERS: dict[bool, tuple[tuple[str, Callable[..., None]], ...]] = {
    True: (
        ("commit", _ring_noted),
        ("rollback", _forget),
        ("commit_twophase", _ring_second_phase),
        ("rollback_twophase", _forget_second_phase),
    ),
    False: (("after_commit", _ring_outermost), ("after_transaction_end", _forget_outermost)),
}
