"""The contract of a database dialect; ``tests/integration/outbox/dialects`` is its conformance suite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from sqlalchemy import Connection, Executable, Insert, Select, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ColumnElement

from asyncflow.errors import AsyncflowError
from asyncflow.outbox.dialects.poolers import Another

# Heads of which types: of all, or of the one that is bound as its_type, or of those behind it, or up to last_type,
# or of those in its_types.
HeadsOf = Literal["all_types", "its_type", "types_behind", "types_between", "types_named"]


@dataclass(frozen=True)
class SessionLimits:
    """Limit what a session waits for; whole seconds."""

    lock_wait_seconds: int
    statement_seconds: int  # for one of our own, in place of what the server or a role says; 0: as long as it takes
    idle_transaction_seconds: int
    user_timeout_seconds: int  # without an answer from our host, after which the server ends the session


@dataclass(frozen=True)
class Limited:
    """Hold what puts a session back as it was, in one round trip, and what is to be sent first in each transaction."""

    undo: Callable[[], None] = lambda: None
    at_begin: str | None = None


class LaneNumbers(NamedTuple):
    """Hold what stands for numbers in the text of ``lanes``: shards, how many rows each may give, and all together."""

    shards: ColumnElement[int]
    limits: ColumnElement[int]
    limit: ColumnElement[int]


class DatabaseDialect(Protocol):
    """Do what databases do differently; has no state."""

    def __hash__(self) -> int:
        """Be usable as a key of a cache."""
        ...

    isolation_level: str | None  # of our own transactions; None keeps the engine's
    takes_named_types: bool  # that ``heads`` are read of, in one statement
    joins_lanes: bool  # ``lanes`` has a statement; else a page for each is as good
    limits_each_lane: bool  # that ``lanes`` reads, besides all of them together
    locks_rows: bool  # FOR SHARE and FOR UPDATE hold rows; without, only a write keeps other writers out
    errors_end_transactions: bool  # until a savepoint or all is rolled back; else only the statement is undone
    oldest_transactions: str | None  # a statement for a person: which have not ended, and may hold locks; None for none
    sends_rows_at_once: bool  # a statement has answered when all its rows are here, unless it was asked to stream

    def heads(self, tasks: Table, status: int, *, newest: bool = False, of: HeadsOf = "all_types") -> Select[Any]:
        """Return (task_type, shard, seconds until order_time, its moment) of the first row of each lane in ``status``.

        Lanes come in the order of the index, so a LIMIT keeps the first ones. Of the ``newest`` row instead: in any
        order. Reads one index entry a lane, however many rows wait behind it, and no more than a LIMIT asks for.
        """
        ...

    def heads_of_type(self, tasks: Table, status: int, shards: int) -> Executable:
        """Return the same of the one type that is bound as its_type, in any order; there are so many shards."""
        ...

    def types(self, tasks: Table, status: int) -> Executable:
        """Return the task types that have rows in ``status``, in order, each once; reads one index entry a type."""
        ...

    def pages(self, selects: Sequence[Select[Any]]) -> Executable:
        """Join page selects, each with its own order and limit, into one statement.

        One is run after the other, so the rows come page by page, but SQL promises that nowhere: what must not rest on
        it looks at the pages' own numbers and times.
        """
        ...

    def lanes(self, tasks: Table, due: Select[Any], numbers: LaneNumbers) -> Select[Any] | None:
        """Return the first of the rows that are ``due``, of some shards; None where a page for each is as good.

        In the order of shards, in each of order_time and id. There is a limit for all rows; one for each lane where
        the database ``limits_each_lane``.
        """
        ...

    def joined(self, pages: Sequence[str]) -> str:
        """Join the texts of page selects as ``pages`` does."""
        ...

    def insert_absent(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
        """Insert the rows whose primary keys are not there, leave the others as they are; return how many are new.

        Swallows the duplicate key and nothing else, and raises no error for it that would end the transaction.
        """
        ...

    def insert_and_hold(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Do so, and share no lock on those that are there: who would then want them alone might wait for each other.

        They are held alone, or not at all. Raises no error for them, either.
        """
        ...

    def draw(self, connection: Connection, turns: Table) -> int:
        """Draw a number greater than all that were drawn before, also by transactions that were rolled back."""
        ...

    def catch_up(self, connection: Connection, turns: Table) -> None:
        """Let numbers go on from the database's now, in microseconds since 1970, unless they are beyond that."""
        ...

    def insert_many(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Mapping[str, Any]],
        statement: Insert | None = None,
    ) -> None:
        """Insert rows of the same columns in as few round trips as the driver allows, by a ``statement`` of theirs."""
        ...

    def limit_session(self, driver_connection: Any, dialect: Any, limits: SessionLimits) -> Limited:
        """Limit in one round trip how long the session waits for locks, and idles in a transaction, before it ends.

        Raises what the driver raises.
        """
        ...

    def read_whole(self, driver_connection: Any) -> Callable[[], None]:
        """Keep the session from cutting reads short; return what puts it back. Raises what the driver does."""
        ...

    def skips_locked(self, dialect: Any) -> bool:
        """Tell whether the server that was connected to knows SKIP LOCKED."""
        ...

    def text_fault(self, connection: Connection, text: str) -> str | None:
        """Return why a text cannot be written and read here as it is, None if it can; raises no error for it."""
        ...

    def table_faults(self, connection: Connection, tables: Sequence[Table]) -> list[AsyncflowError]:
        """Return what keeps tables that exist from holding rows of a transaction, or texts, as they are."""
        ...

    def server_fault(self, connection: Connection, longest_value: int) -> AsyncflowError | None:
        """Return the error to raise for a setting of the server or the session that we cannot work under.

        ``longest_value``: bytes of the largest value that is written.
        """
        ...

    def pooler_fault(self, connection: Connection, another: Another) -> AsyncflowError | None:
        """Return the error to raise for a pooler between that our driver, as it is set, cannot work through.

        ``another`` opens one more connection. No transaction is open afterwards.
        """
        ...

    def plan_anew(self, driver_connection: Any) -> Callable[[], None]:
        """Let a connection keep no plans of statements, which grow old as tables grow; return what undoes it."""
        ...

    def in_binary(self, driver_connection: Any) -> AbstractContextManager[None]:
        """Have the statements of a block give bytes as they are, where the driver would have them written as digits."""
        ...

    def in_index_order(self, connection: Connection) -> None:
        """Let what follows in the transaction read along an index, however few rows the planner believes there are."""
        ...

    def correct_statistics(self, connection: Connection, table: Table, rows: int) -> None:
        """Let the planner count a table anew that it believes to have fewer than ``rows``; none if it counts itself."""
        ...

    def among(self, raw_ids: Iterable[Any]) -> str:
        """Write what follows a column that is to be one of these ids, as the driver returned them, as literals."""
        ...

    def is_lock_wait(self, error: DBAPIError) -> bool:
        """Tell whether a lock was waited for too long: whoever holds it may hold it for long."""
        ...

    def is_elsewhere(self, error: DBAPIError) -> bool:
        """Tell whether the server of this connection is not, or not any more, the one that can be written to."""
        ...

    def is_refused_write(self, error: DBAPIError) -> bool:
        """Tell whether it answered so before it did anything, so that the transaction has surely not happened."""
        ...

    def is_refusal(self, error: DBAPIError) -> bool:
        """Tell whether it is these rows that are not taken, by a constraint, a trigger or a type, and others are."""
        ...

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Tell whether a statement named a table that is not there, or not yet as its transaction sees the database."""
        ...

    def begin_before_savepoint(self, connection: Connection) -> None:
        """See to it that a savepoint is inside a transaction, so that its release commits nothing."""
        ...

    def has_undone(self, connection: Connection) -> bool:
        """Tell whether the transaction is over that stood open when its last statement failed, with all it did.

        Where whatever follows in such a transaction fails as well, nobody needs to know.
        """
        ...

    def has_changed(self, connection: Connection) -> bool:
        """Tell whether the transaction has changed something, as a function that is read from may, if it is known."""
        ...

    def is_contention(self, error: DBAPIError) -> bool:
        """Tell whether the transaction lost against another one and may simply be run again."""
        ...
