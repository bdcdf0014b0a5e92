"""The inbox: a message delivered twice takes effect once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection, Engine, MetaData, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from asyncflow.errors import InvalidMessageIdError, OptionError, WrongTargetError
from asyncflow.outbox import queries
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.lines.lost import is_lost
from asyncflow.outbox.options import require_place, require_whole
from asyncflow.outbox.queries import insert_absent
from asyncflow.outbox.tables import CONSUMER_LENGTH, MESSAGE_ID_LENGTH, inbox_table
from asyncflow.outbox.transaction.carrying import require_exact, require_sound
from asyncflow.outbox.transaction.limited import limited
from asyncflow.outbox.transaction.target import async_session_of, connection_of, is_async, target_of
from asyncflow.text import require_text, shown

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

_PAGE = 500
_ATTEMPTS = 3  # at a page, while connections are lost


class Inbox:
    """Remember which consumer took which message, in the consumer's own transaction.

    Adds the table ``<prefix>inbox`` to ``metadata``. Made once; thread-safe.
    """

    def __init__(self, metadata: MetaData, *, prefix: str = "asyncflow_", schema: str | None = None) -> None:
        require_place(metadata, prefix, schema)
        self.entries = inbox_table(metadata, f"{prefix}inbox", schema)

    def process_once(self, session: Session | Connection, message_id: str | bytes | UUID, *, consumer: str) -> bool:
        """Return True if this consumer sees the message for the first time, and remember that.

        The memory commits or rolls back with the caller's transaction, so do the work in the same one. While
        another transaction of the same message is open, this waits for its end.

        Raises InvalidMessageIdError, CharacterSetError, WrongTargetError or NotTransactionalError.
        """
        if is_async(session):
            raise WrongTargetError("an AsyncSession needs: await inbox.process_once_async(session, ...)")
        return self._remember(target_of(session), _entry(message_id, consumer))

    async def process_once_async(self, session: AsyncSession, message_id: str | bytes | UUID, *, consumer: str) -> bool:
        """Do what ``process_once`` does, in an AsyncSession."""
        if not is_async(session):
            raise WrongTargetError("only an AsyncSession is awaited; call inbox.process_once(session, ...)")
        entry = _entry(message_id, consumer)
        return await async_session_of(session).run_sync(lambda sync: self._remember(sync, entry))

    def clean(self, engine: Engine, *, older_than: timedelta = timedelta(days=7), limit: int = 100_000) -> int:
        """Delete entries older than any redelivery can be, in pages of their own transactions; return how many.

        At most ``limit`` are deleted in a call. Keep entries longer than the broker keeps messages. What somebody has
        locked is left for another call. Raises OptionError; ConnectionSilentError if the database says nothing: call
        again later.
        """
        _require_age(older_than)
        require_whole("limit", limit, 0, 2**31 - 1)
        deleted = 0
        while deleted < limit:
            page = self._delete_page(engine, older_than, min(_PAGE, limit - deleted))
            deleted += page
            if page == 0:
                break
        return deleted

    def _delete_page(self, engine: Engine, older_than: timedelta, limit: int) -> int:
        page: list[tuple[str, str]] = []
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._delete(engine, older_than, limit, page)
            except Exception as error:
                if isinstance(error, DBAPIError) and dialect_of(engine.dialect.name).is_lock_wait(error):
                    return 0
                if not _is_lost(error, engine):
                    raise
        return self._delete(engine, older_than, limit, page)

    def _delete(self, engine: Engine, older_than: timedelta, limit: int, page: list[tuple[str, str]]) -> int:
        """Delete a ``page``, which is read unless an earlier attempt did: that one may have deleted it."""
        with limited(engine) as connection:
            if not page:
                page += read_expired(connection, self.entries, older_than, limit)
            queries.delete_inbox_entries(connection, self.entries, page)
        return len(page)

    def _remember(self, target: Session | Connection, entry: dict[str, Any]) -> bool:
        connection = connection_of(target, queries.insert_entry(self.entries))
        require_sound(connection, (self.entries,))
        require_exact(connection, (entry["consumer"], entry["message_id"]))
        return insert_absent(connection, self.entries, [entry]) == 1


def read_expired(connection: Connection, entries: Table, older_than: timedelta, limit: int) -> list[tuple[str, str]]:
    """Read the keys of entries that are older, the oldest first; held, where the server steps over what others hold."""
    expired = queries.expired_inbox_entries(entries, older_than, limit)
    if dialect_of(connection.dialect.name).skips_locked(connection.dialect):
        expired = expired.with_for_update(skip_locked=True)
    return [(key.consumer, key.message_id) for key in connection.execute(expired)]


def _entry(message_id: Any, consumer: Any) -> dict[str, Any]:
    if isinstance(message_id, UUID):
        message_id = str(message_id)
    elif isinstance(message_id, bytes):
        message_id = _decoded(message_id)
    return {
        "consumer": require_text("consumer", consumer, CONSUMER_LENGTH, InvalidMessageIdError),
        "message_id": require_text("message_id", message_id, MESSAGE_ID_LENGTH, InvalidMessageIdError),
        "processed_at": NO_TIME,
    }


def _decoded(message_id: bytes) -> str:
    try:
        return message_id.decode()
    except UnicodeDecodeError as error:
        raise InvalidMessageIdError(f"message_id {message_id!r:.60} is not UTF-8; give its text or a UUID") from error


def _require_age(older_than: Any) -> None:
    if not isinstance(older_than, timedelta) or older_than < timedelta(0):
        raise OptionError(f"older_than is {shown(older_than)}; give a timedelta that is not negative")


def _is_lost(error: Exception, engine: Engine) -> bool:
    """Tell whether the connection broke; what sets its isolation level raises the driver's own errors."""
    if isinstance(error, DBAPIError):
        return is_lost(error, dialect_of(engine.dialect.name))
    return isinstance(error, engine.dialect.loaded_dbapi.Error) and engine.dialect.is_disconnect(error, None, None)
