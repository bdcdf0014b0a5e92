"""The commits of a subscriber's own: each holds the memory of its message, or is refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from asyncflow.driver_errors import state_of
from asyncflow.errors import AsyncflowError, UnsettledEffectError
from asyncflow.scheduler.worker.transactional.statement_kind import StatementKind, kind_of

_ROLLS_BACK = re.compile(r"\s*(?:rollback|abort)\b(?!(?:\s+(?:work|transaction))?\s+to\b)", re.I)
_IN_FAILED_TRANSACTION = "25P02"  # of PostgreSQL, which commits nothing there, and says nothing of it


class FailedLateError(AsyncflowError):
    """The subscriber raised, as its cause tells, after a commit of its own, which holds, and the memory with it."""


@contextmanager
def parted_by_none(session: Session, remember: Callable[[Connection], bool]) -> Iterator[None]:
    """Let no commit in the block, nor the session's at its end, part the effect from the memory of the message.

    That is in the session's transaction already, and ``remember`` tells whether it was not. What would end the
    transaction past the session raises UnsettledEffectError where it is called, and so does the commit of one that the
    database has undone. Raises FailedLateError for what the block raises after a commit of the session's.
    """
    commits = _OwnCommits(session, remember)
    try:
        yield
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        if commits.are_some:
            raise FailedLateError("a subscriber raised after its commit") from error
        raise
    if commits.refused is not None:  # and somebody has caught it
        raise commits.refused


class _OwnCommits:
    """Listen to a session and its connection, from the memory of a message to the end of both; used by one thread."""

    def __init__(self, session: Session, remember: Callable[[Connection], bool]) -> None:
        self.are_some = False
        self.refused: UnsettledEffectError | None = None
        self._remember = remember
        self._is_sessions = False  # the commit in hand
        self._is_ours = False  # the statement in hand
        self._is_waiting = self._has_failed = False  # for its answer; a statement, and may have undone others
        event.listen(session, "before_commit", self._begin_commit)
        event.listen(session, "after_commit", self._note)
        event.listen(session, "after_soft_rollback", self._forget)
        connection = session.connection()
        event.listen(connection, "commit", self._before_commit)
        event.listen(connection, "before_cursor_execute", self._before_statement)
        event.listen(connection, "after_cursor_execute", self._after_statement)

    # -- what the session tells --------------------------------------------------------------------------

    def _begin_commit(self, _: Session) -> None:
        self._is_sessions = True

    def _note(self, session: Session) -> None:
        # SQLAlchemy calls this for the release of each savepoint as well, which commits nothing.
        self.are_some |= not session.in_nested_transaction()
        self._is_sessions = False

    def _forget(self, *_: Any) -> None:
        self._is_sessions = False

    # -- what the connection tells -----------------------------------------------------------------------

    def _before_statement(self, connection: Connection, _: Any, statement: str, *__: Any) -> None:
        if self._is_ours:
            return
        if kind_of(statement, connection.dialect.name) is StatementKind.ENDS or _ROLLS_BACK.match(statement):
            raise _refused(repr(" ".join(statement.split())[:80]))
        self._has_failed |= self._is_waiting
        self._is_waiting = True

    def _after_statement(self, *_: Any) -> None:
        self._is_waiting = False

    def _before_commit(self, connection: Connection) -> None:
        try:
            if not self._is_sessions:
                raise _refused("the commit of the session's connection")
            if self._has_failed or self._is_waiting:
                self._require_whole(connection)
        except BaseException as error:
            # SQLAlchemy takes a transaction whose commit raised for ended, and would leave this one open.
            with suppress(Exception):
                connection.dialect.do_rollback(connection.connection)
            if isinstance(error, UnsettledEffectError):
                self.refused = error
            raise

    def _require_whole(self, connection: Connection) -> None:
        """Raise UnsettledEffectError if the database has undone what stood before a statement that failed."""
        self._is_ours = True
        try:
            if self._remember(connection):
                raise _undone()
        except DBAPIError as error:
            if state_of(error.orig) == _IN_FAILED_TRANSACTION:
                raise _undone() from error
            raise
        finally:
            self._is_ours = False


def _refused(what: str) -> UnsettledEffectError:
    return UnsettledEffectError(
        f"{what} was not sent: it would end the transaction of a subscriber, in which its message is remembered, past "
        f"its session; leave the commit to the consumer, and DDL to migrations"
    )


def _undone() -> UnsettledEffectError:
    return UnsettledEffectError(
        "the database has undone the transaction of a subscriber, for an error of it was caught there: put what may "
        "fail into a `with session.begin_nested():` of its own, inside the `try`, or let the subscriber raise"
    )
