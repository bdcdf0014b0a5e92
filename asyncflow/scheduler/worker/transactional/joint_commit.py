"""The commit that a transactional handler and its task's outcome have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import Any

from sqlalchemy import Connection, Engine, RootTransaction, TwoPhaseTransaction, event
from sqlalchemy.orm import Session, SessionTransaction

from asyncflow.errors import UnsettledEffectError
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.lines.limits import LIMITS
from asyncflow.scheduler.connections.moves import end_left_ones, leaving
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_source import ClaimSource
from asyncflow.scheduler.worker.transactional.statement_kind import StatementKind, calls_functions, kind_of


class _Settle(Enum):
    """Tell how far the settle has come."""

    OPEN = auto()  # in no transaction that may have committed
    SENT = auto()  # in the transaction whose COMMIT was the last that was heard of
    UNSURE = auto()  # in one whose COMMIT failed, or was nobody's whom we hear
    COMMITTED = auto()


class JointCommit:
    """Let a handler's changes and the settle of its task commit in one transaction, or not at all.

    Lives for one attempt, on the handler's thread. Listens to the connection itself, since others than the session
    may commit it: the settle is written right before each COMMIT of a transaction that changed something, so one that
    failed or was rolled back took its settle with it. After the commit that carried it nothing may be changed any
    more. Whether an unknown COMMIT happened, the row tells: it is held no longer.
    """

    def __init__(self, source: ClaimSource, engine: Engine, claim: Claim) -> None:
        self._source = source
        self._engine = engine
        self._asked = engine  # beside the handler's connection
        self._claim = claim
        self._settle = _Settle.OPEN
        self._connection: Connection | None = None
        self._transaction: RootTransaction | None = None
        self._reads = self._changes = 0  # statements of the transaction in hand
        self._standing = 0  # changes of it that were made
        self._calls_functions = False  # it reads what functions return
        self._is_waiting = self._is_undone = False  # for its last statement's answer; by the database
        self._is_last = False  # the handler has returned
        self._is_ours = False  # the statement in hand

    @property
    def is_committed(self) -> bool:
        """Tell whether the settle is known to have committed."""
        return self._settle is _Settle.COMMITTED

    @property
    def is_open(self) -> bool:
        """Tell whether nothing has committed, and nothing may have."""
        return self._settle is _Settle.OPEN

    def run(self, handle: Callable[[Session], None]) -> None:
        """Call ``handle`` with a Session, then commit unless that has happened; raises what either raises."""
        end_left_ones(self._engine)
        try:
            with HandlerSession(self._engine, joint=self) as session, leaving(session, self._engine):
                handle(session)
                self._end(session)
        finally:
            self._make_sure()

    def _end(self, session: Session) -> None:
        self._is_last = True
        if not self._changes:
            self._make_sure()
        if self.is_committed:
            session.flush()  # which is refused if there is anything to flush
        else:
            session.connection()  # for a commit without one would carry nothing
            session.commit()

    def _make_sure(self) -> None:
        """Ask the table whether an unknown COMMIT happened; unsure it stays if that cannot be asked now."""
        if self._is_unsure:
            with suppress(Exception), connected(self._asked, LIMITS) as connection:
                self._ask(connection)

    @property
    def _is_unsure(self) -> bool:
        return self._settle in (_Settle.SENT, _Settle.UNSURE)

    def _ask(self, connection: Connection) -> None:
        with self._ours():
            is_held = self._source.still_holds(connection, self._claim)
        self._settle = _Settle.OPEN if is_held else _Settle.COMMITTED

    @contextmanager
    def _ours(self) -> Iterator[None]:
        """Send statements of our own in the block."""
        self._is_ours = True
        try:
            yield
        finally:
            self._is_ours = False

    # -- what the session tells --------------------------------------------------------------------------

    def after_begin(self, connection: Connection) -> None:
        """Listen to a connection that the session begins to use."""
        if connection is self._connection:
            return  # a savepoint on it
        if connection.engine is not self._engine:
            event.listen(connection, "before_cursor_execute", self._refuse_elsewhere)
            return
        self._connection = connection
        self._begin(connection)
        event.listen(connection, "before_cursor_execute", self._before_statement)
        event.listen(connection, "after_cursor_execute", self._after_statement)
        event.listen(connection, "commit", self._before_commit)

    def after_commit(self) -> None:
        """Know that the COMMIT that was sent has happened."""
        if self._settle is _Settle.SENT:
            self._settle = _Settle.COMMITTED

    def after_end(self, transaction: SessionTransaction) -> None:
        """Know that the COMMIT that was sent will not be confirmed any more."""
        if self._settle is _Settle.SENT and transaction.parent is None:
            self._settle = _Settle.UNSURE

    # -- what the connection tells -----------------------------------------------------------------------

    def _begin(self, connection: Connection) -> None:
        """Take in that another transaction has begun: nobody tells of those that are begun on the connection itself."""
        self._transaction = connection.get_transaction()
        self._reads = self._changes = self._standing = 0
        self._calls_functions = self._is_waiting = self._is_undone = False
        if self._settle is _Settle.SENT:
            # SQLAlchemy rolls none back whose COMMIT failed.
            connection.dialect.do_rollback(connection.connection)
            self._settle = _Settle.UNSURE
        if isinstance(self._transaction, TwoPhaseTransaction):
            event.listen(connection, "prepare_twophase", lambda connection, _: self._before_commit(connection))
            event.listen(connection, "commit_twophase", self._before_second_phase)

    def _before_statement(self, connection: Connection, _: Any, statement: str, *__: Any) -> None:
        if self._is_ours:
            return
        if connection.get_transaction() is not self._transaction:
            self._begin(connection)
        self._require_whole(connection)
        kind = kind_of(statement, connection.dialect.name)
        if kind is StatementKind.READS:
            self._reads += 1
            self._calls_functions |= calls_functions(statement)
        elif kind is StatementKind.SAVEPOINT:
            dialect_of(connection.dialect.name).begin_before_savepoint(connection)
        elif kind is not StatementKind.NEUTRAL:
            self._require_joint(connection, statement, kind)
            self._changes += 1
        self._is_waiting = True

    def _after_statement(self, *_: Any) -> None:
        if not self._is_ours:
            self._is_waiting, self._standing = False, self._changes

    def _require_whole(self, connection: Connection) -> None:
        """Raise UnsettledEffectError if the database has undone what was done before a statement that failed."""
        if self._is_waiting and self._standing:
            self._is_waiting = False
            with self._ours():
                self._is_undone = dialect_of(connection.dialect.name).has_undone(connection)
        if self._is_undone:
            raise UnsettledEffectError(
                f"the database has undone what the transactional handler of {self._claim.task.task_type!r} (task "
                f"{self._claim.task.id}) had done, as in a deadlock, and the handler caught the error: let it raise, "
                f"and it is called again, or call session.rollback() and begin anew"
            )

    def _require_joint(self, connection: Connection, statement: str, kind: StatementKind) -> None:
        """Raise UnsettledEffectError for what would take effect beside the settle."""
        if kind is StatementKind.ENDS:
            raise self._refused(statement, "it commits by itself; use session.commit(), and leave DDL to migrations")
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            raise self._refused(statement, "its connection commits each statement; leave the isolation level as it is")
        if self._settle is _Settle.UNSURE and not self._changes:
            self._ask(connection)
        if self.is_committed and kind is StatementKind.CHANGES:
            raise self._refused(
                statement, "the handler has committed, and its task is done; change everything before one commit"
            )

    def _refuse_elsewhere(self, connection: Connection, _: Any, statement: str, *__: Any) -> None:
        kind = kind_of(statement, connection.dialect.name)
        if kind in (StatementKind.CHANGES, StatementKind.ENDS):
            raise self._refused(
                statement, f"it goes to {connection.engine!r}, not to the engine on which the task is settled"
            )

    def _refused(self, statement: str, why: str) -> UnsettledEffectError:
        task, text = self._claim.task, " ".join(statement.split())[:80]
        return UnsettledEffectError(
            f"{text!r} in the transactional handler of {task.task_type!r} (task {task.id}) was not sent: {why}"
        )

    def _before_commit(self, connection: Connection) -> None:
        """Write the settle, unless the transaction has only read, or is one after the settle's."""
        if connection.get_transaction() is not self._transaction:
            self._begin(connection)
        has_only_read = self._reads > 0 and not self._changes
        if self.is_committed or (has_only_read and not self._is_last and not self._has_changed(connection)):
            return
        try:
            self._require_whole(connection)
            if self._claim.wants_result and not self._is_last:
                raise self._refused(
                    "COMMIT", "its result is written with it, and known when it returns; leave it to us"
                )
            with self._ours():
                self._source.settle_in(connection, self._claim)
        except BaseException:
            # SQLAlchemy takes a transaction whose commit raised for ended, and would leave this one open.
            with suppress(Exception):
                connection.dialect.do_rollback(connection.connection)
            raise
        self._settle = _Settle.SENT
        self._reads = self._changes = self._standing = 0

    def _has_changed(self, connection: Connection) -> bool:
        """Tell whether a function that was read from has changed something, and no error has undone it."""
        if not self._calls_functions or self._is_waiting:
            return False
        with self._ours():
            return dialect_of(connection.dialect.name).has_changed(connection)

    def _before_second_phase(self, connection: Connection, _: Any, is_prepared: bool) -> None:
        if not is_prepared:
            self._before_commit(connection)


class HandlerSession(Session):
    """Be a Session like any other, of which its joint commit hears; a class of our own, for its listeners' sake."""

    def __init__(self, *given: Any, joint: JointCommit, **options: Any) -> None:
        super().__init__(*given, **options)
        self.joint = joint


event.listen(HandlerSession, "after_begin", lambda session, _, connection: session.joint.after_begin(connection))
event.listen(HandlerSession, "after_commit", lambda session: session.joint.after_commit())
event.listen(HandlerSession, "after_transaction_end", lambda session, ended: session.joint.after_end(ended))
