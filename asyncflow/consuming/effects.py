"""The effect of one message on one subscriber: in one transaction with the memory of it, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from asyncflow.callables import require_done
from asyncflow.consuming.dead_letter import dead_letter
from asyncflow.consuming.encrypted import decrypted, readable
from asyncflow.consuming.own_commits import parted_by_none
from asyncflow.consuming.received import AnyReceived
from asyncflow.consuming.subscription import Subscription, headers_of_message, key_of_message
from asyncflow.errors import (
    AsyncflowError,
    CharacterSetError,
    ConnectionSilentError,
    EncryptionError,
    InvalidMessageIdError,
    InvalidStageError,
    KeyGoneError,
    PayloadAlteredError,
)
from asyncflow.leash import Leash
from asyncflow.outbox import Inbox, Outbox, Status, queries
from asyncflow.outbox.arguments.signature import CONTEXT, SESSION
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.ids import new_id
from asyncflow.outbox.transaction.carrying import require_carried
from asyncflow.scheduler.connections.calls import Patience, ThreadCalls, WatchedCalls, WatchedSession
from asyncflow.scheduler.connections.moves import end_left_ones, leaving
from asyncflow.scheduler.table.log_lines import short_error
from asyncflow.scheduler.worker.task_context import GivenFacts, TaskContext
from asyncflow.scheduler.worker.verdict import Verdict
from asyncflow.scheduler.worker.within import call_within
from asyncflow.text import told


class InboxAwayError(AsyncflowError):
    """The inbox could not be asked whether a message is new: that is the database's trouble, not the message's."""


class Effects:
    """Call subscribers, functions, with Sessions of an engine; used by one thread, and ``hasten`` by any."""

    def __init__(self, engine: Engine, outbox: Outbox, inbox: Inbox) -> None:
        self._engine = engine
        self._outbox = outbox
        self._inbox = inbox
        self._patience = Patience()
        self._calls: WatchedCalls | None = None  # of the effect in hand
        self._is_hasty = False

    def hasten(self) -> None:
        """Let no statement of a subscriber take longer from now on than one of our own."""
        self._is_hasty = True
        if (calls := self._calls) is not None:
            calls.hasten()

    def deliver(self, subscription: Subscription, message: AnyReceived, attempt: int) -> None:
        """Let a message take effect once; raises what the handler raises, and then nothing has changed.

        FailedLateError if the handler had committed before.
        """
        message = decrypted(message, self._outbox.encryption)
        ctx = context_of(subscription, message, attempt)
        with self._new(subscription, message) as session:
            if session is not None:
                given = arguments_of(subscription, message, ctx)
                call_within(self._outbox.around, ctx, lambda: _call(subscription, given, session))

    def bury(
        self, subscription: Subscription, message: AnyReceived, verdict: Verdict, *, is_least: bool = False
    ) -> None:
        """Remember a message as taken, with a dead letter if it failed, which an operator may replay.

        ``is_least``: without headers and key.
        """
        message = readable(message, self._outbox.encryption)
        with self._new(subscription, message) as session:
            if session is not None:
                self._write(session, subscription, message, verdict, is_least=is_least)

    def is_trouble(self, error: BaseException) -> bool:
        """Tell whether it is the database's or the keys', and not the message's: away, or locked in vain."""
        if isinstance(error, (InboxAwayError, ConnectionSilentError)):
            return True
        if isinstance(error, EncryptionError):  # whoever has the keys is away, or this process was given none
            return not isinstance(error, (KeyGoneError, PayloadAlteredError))
        if not isinstance(error, DBAPIError):
            return False
        dialect: Any = self._engine.dialect
        its = dialect_of(dialect.name)
        return (
            error.connection_invalidated
            or its.is_elsewhere(error)
            or its.is_contention(error)
            or its.is_lock_wait(error)
            or bool(error.orig is not None and dialect.is_disconnect(error.orig, None, None))
        )

    @contextmanager
    def _new(self, subscription: Subscription, message: AnyReceived) -> Iterator[Session | None]:
        """Give a Session that remembers the message, which is new; None if it is not. Commits at the end.

        Where the block has ended the transaction itself, and not by an error, the message is remembered all the same.
        """
        with asking():
            end_left_ones(self._engine)
        with (
            self._watched(ThreadCalls(self._engine, self._patience)) as calls,
            WatchedSession(self._engine, calls=calls) as session,
            session.begin(),
            leaving(session, self._engine),
        ):
            with asking():
                is_new = self._remember(subscription, message, session)
            with calls.handed_out(), parted_by_none(session, partial(self._remember, subscription, message)):
                yield session if is_new else None
            was_ended = is_new and not session.in_transaction()
        if was_ended:
            with (
                asking(),
                self._watched(ThreadCalls(self._engine)) as calls,
                WatchedSession(self._engine, calls=calls) as session,
                session.begin(),
            ):
                self._remember(subscription, message, session)

    @contextmanager
    def _watched(self, calls: WatchedCalls) -> Iterator[WatchedCalls]:
        """Watch the calls of an effect, which ``hasten`` concerns."""
        self._calls = calls
        with calls:
            if self._is_hasty:
                calls.hasten()
            try:
                yield calls
            finally:
                self._calls = None

    def _write(
        self,
        session: Session,
        subscription: Subscription,
        message: AnyReceived,
        verdict: Verdict,
        *,
        is_least: bool,
    ) -> None:
        if verdict.status is Status.FAILED:
            tasks, connection = self._outbox.tasks, session.connection()
            row = dead_letter(self._outbox, subscription, message, verdict, is_least=is_least)
            try:
                require_carried(connection, (tasks,), [row])
            except CharacterSetError:
                row = dead_letter(self._outbox, subscription, message, verdict, only_ascii=True, is_least=is_least)
                require_carried(connection, (tasks,), [row])
            session.execute(queries.insert_task(tasks), row)

    def _remember(self, subscription: Subscription, message: AnyReceived, session: Session | Connection) -> bool:
        """Remember the message, by its place if the connection would alter its id; return whether it is new."""
        try:
            return self._inbox.process_once(session, message.id, consumer=subscription.name)
        except CharacterSetError:
            return self._inbox.process_once(session, message.place_id, consumer=subscription.name)


@contextmanager
def asking() -> Iterator[None]:
    """Raise InboxAwayError for whatever is no fault of the message; a connection that is refused is no disconnect."""
    try:
        yield
    except (InvalidMessageIdError, CharacterSetError):
        raise
    except Exception as error:
        raise InboxAwayError(f"the inbox could not be asked: {short_error(told(error))}") from error


def context_of(subscription: Subscription, message: AnyReceived, attempt: int) -> TaskContext:
    """Return what the handler gets as ``ctx``, as it would of a task."""
    facts = GivenFacts(
        id=id_of(message),
        task_type=subscription.name,
        key=key_of_message(message),
        headers=headers_of_message(message),
        attempt=attempt,
        stage=None,
        context=None,
        deadline=datetime.now(timezone.utc) + timedelta(seconds=subscription.kind.max_processing_time_seconds),
        save=_refuse_stage,
        max_context_bytes=0,
    )
    return TaskContext(facts)


def id_of(message: AnyReceived) -> UUID:
    """Return the message's id, or a new one where its producer gave no UUID."""
    try:
        return UUID(message.id)
    except ValueError:
        return new_id()


def _call(subscription: Subscription, given: dict[str, Any], session: Session) -> None:
    handler: Any = subscription.kind.handler
    with Leash():
        returned = handler(**given, **{SESSION: session})
    require_done(f"the subscriber {subscription.name!r}", returned)


def arguments_of(subscription: Subscription, message: AnyReceived, ctx: TaskContext) -> dict[str, Any]:
    """Return what the handler is called with, but for its session."""
    given = subscription.arguments(message)
    return {**given, CONTEXT: ctx} if subscription.kind.handling().signature.takes_context else given


def _refuse_stage(stage: str, _: str | None) -> None:
    raise InvalidStageError(f"stage {stage!r}: a message has one commit and no stages; enqueue a task for what is long")
