"""Keep a publisher connected: one session at a time, ended when it is spent, made anew when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Protocol

from asyncflow.errors import UnreachableError
from asyncflow.forks import keep_for_ever, leave_at_fork
from asyncflow.scheduler.publishing.publisher import Outcome, Record, Unavailable
from asyncflow.scheduler.publishing.sessions.suspects import Judgement, deliver

# publish() does not wait longer than this for the threads of a spent session; close() and later calls do the
# rest.
END_WITHIN_SECONDS = 0.2


class Session(Protocol):
    """Hold one client of one library, with its threads and sockets."""

    is_spent: bool

    def attempt(self, batch: Sequence[Record], deadline: float) -> Sequence[Judgement]:
        """Send the records; return what became of each, by about ``deadline`` (monotonic seconds)."""

    def end(self, patience_seconds: float) -> bool:
        """Drop what is unsent and end the client; return whether nothing of it is left. May be called again."""

    def leave_to_parent(self) -> None:
        """See to it that the client does not end itself at the end of a forked process."""


class Link:
    """Publish through a session that ``connect`` makes, raising UnreachableError, whenever there is none.

    One thread calls at a time, as a publisher's are called.
    """

    def __init__(self, connect: Callable[[float], Session], timeout_seconds: float) -> None:
        self._connect = connect
        self._timeout_seconds = timeout_seconds
        self._session: Session | None = None
        self._ending: list[Session] = []
        self._is_closed = False
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Begin without a session in the child of a fork: sockets and unsent records are the parent's."""
        for session in (self._session, *self._ending):
            if session is not None:
                keep_for_ever(session)
                session.leave_to_parent()
        self._session, self._ending = None, []

    def publish(self, batch: Sequence[Record]) -> list[Outcome]:
        """Send the records and return one outcome for each, in order."""
        deadline = monotonic() + self._timeout_seconds
        return deliver(batch, lambda part: self._attempt(part, deadline), deadline) if batch else []

    def close(self) -> None:
        """End every session; further publishing is Unavailable. May be called twice."""
        self._is_closed = True
        self._end_session(self._timeout_seconds)

    def _attempt(self, batch: Sequence[Record], deadline: float) -> Sequence[Judgement]:
        try:
            session = self._session = self._session or self._new_session(deadline)
        except UnreachableError as error:
            return [Unavailable(str(error))] * len(batch)
        is_spent = True  # an interrupted session would report this batch's records to the next one
        try:
            judgements = session.attempt(batch, deadline)
            is_spent = session.is_spent
            return judgements
        finally:
            if is_spent or self._is_closed:  # closed by another thread while this one had it
                self._end_session(END_WITHIN_SECONDS)

    def _new_session(self, deadline: float) -> Session:
        if self._is_closed:
            raise UnreachableError("the publisher is closed")
        return self._connect(deadline)

    def _end_session(self, patience_seconds: float) -> None:
        if self._session is not None:
            self._ending.append(self._session)
            self._session = None
        self._ending = [session for session in self._ending if not session.end(patience_seconds)]
