"""The keeper: makes numbered tables ahead, leads on from one that is full, and drops those whose time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateTable

from asyncflow.events import NumberedTableClosed, NumberedTableDropped
from asyncflow.outbox.lines.limits import OF_A_COMMAND
from asyncflow.outbox.lines.lost import is_lost
from asyncflow.outbox.rolling.numbered_tables import NumberedTables
from asyncflow.scheduler.archive.archive import Archive
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.table.row_locks import hold_writers
from asyncflow.scheduler.upkeep.rolling import queries
from asyncflow.scheduler.upkeep.rolling.dropper import Dropper
from asyncflow.scheduler.upkeep.rolling.faults import Faults, is_there
from asyncflow.scheduler.upkeep.rolling.held_up import HeldUp
from asyncflow.scheduler.upkeep.rolling.position import Position
from asyncflow.text import on_one_line

_PAUSE_SECONDS = 5.0  # between two looks; a full table is told of
_PATIENCE_SECONDS = 10.0  # before what failed is tried again: who waited for its lock behind us is through by then
_RIGHTS = (
    "the role has to create and drop tables: GRANT CREATE, DROP, INDEX on the database (MySQL, MariaDB), GRANT CREATE "
    "ON SCHEMA (PostgreSQL)"
)
_FAILURES_TO_TELL = 2  # in a row, of one kind: another one may have been quicker, or a lock held for a moment
MOST_TABLES = 200  # that there are at once: SQLite reads 500 in a statement, and others take long to plan that many
GRACE_SECONDS = 60.0  # from a table's being forgotten to its drop: as old may be what a reader has read


class _LedOn(Exception):  # noqa: N818 - no error: it is caught
    """Somebody else led on meanwhile."""


class Keeper:
    """Take the next steps, of which tables and positions tell all: who was killed need not be asked.

    Used by the cleaner's thread of the owner of the first shard; two at once, for a moment, do no harm. On a connection
    of its own, as a drop may take long.
    """

    def __init__(
        self,
        instance: Instance,
        numbered: NumberedTables,
        archive: Archive | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._numbered = numbered
        self._positions = numbered.positions
        self._outbox = instance.outbox
        self._hooks = instance.hooks
        self._database = Database(instance.engine, limits=OF_A_COMMAND)
        self._faults = Faults(instance.outbox, numbered, self._database)
        self._dropper = Dropper(instance.outbox, self._database)
        self._archive = archive
        self.is_archiving = False  # there is a next slice
        self._are_too_many = False
        self._clock = clock
        self._next_at = float("-inf")
        self._held_up = HeldUp(instance.hooks, _FAILURES_TO_TELL, clock)

    def hurry(self) -> None:
        """Look with the next step: a table is full, or the next one is to be dropped."""
        if not self._are_too_many:
            self._next_at = float("-inf")

    @property
    def is_due(self) -> bool:
        """Tell whether it is time to look."""
        return self._clock() >= self._next_at

    def step(self) -> None:
        """Do what is next."""
        self._next_at, self.is_archiving, self._are_too_many = self._clock() + _PAUSE_SECONDS, False, False
        with self._database:
            self._keep()

    def _keep(self) -> None:
        positions = list(map(Position.of, self._database.run(self._read)))
        if fault := self._faults.first(positions):
            self._tell(self._positions.fullname, fault)
        elif self._advance(positions):
            self._held_up.is_over()

    def _advance(self, positions: Sequence[Position]) -> bool:
        """Take the next steps; return whether nothing held them up."""
        if not positions:
            return self._try(self._numbered.table(1), "to create it", partial(self._make, 1, is_open=True))
        if len(positions) >= MOST_TABLES:
            return self._drop_next(positions) and self._let_grow(positions)
        return self._lead_on(positions) and self._drop_next(positions)

    def _read(self, connection: Connection) -> Sequence[Any]:
        return connection.execute(queries.positions(self._positions)).all()

    # -- making, and leading on --------------------------------------------------------------------------

    def _lead_on(self, positions: Sequence[Position]) -> bool:
        """Have a table ahead, and open it when its time has come; return whether nothing held that up."""
        opened = next(one for one in positions if one.is_open)
        ahead = [one.number for one in positions if one.is_ahead]
        if not ahead:
            number = opened.number + 1
            return self._try(self._numbered.table(number), "to create it", partial(self._make, number, is_open=False))
        if self._is_full(opened):
            self.hurry()  # for the one after it
            return self._try(self._numbered.table(opened.number), "to close it", partial(self._close, opened, ahead[0]))
        return True

    def _let_grow(self, positions: Sequence[Position]) -> bool:
        """Begin no further table; return whether none has to be."""
        opened = next(one for one in positions if one.is_open)
        if not self._is_full(opened):
            return True
        self._are_too_many, next_at = True, self._next_at
        self._tell(
            self._numbered.table(opened.number).fullname,
            f"{len(positions)} tables are kept, and each look-up reads all of them: it takes more rows than it is to "
            "have until some are dropped; give RollOver more rows, or a shorter keep",
        )
        self._next_at = next_at  # what is archived or dropped goes on
        return False

    def _is_full(self, position: Position) -> bool:
        options = self._numbered.options
        is_old = options.age is not None and (position.opened_for or 0.0) >= options.age.total_seconds()
        return position.row_count >= options.rows or (is_old and position.row_count > 0)

    def _make(self, number: int, *, is_open: bool) -> None:
        """Make a table, then write its position; one that was made and has no position yet is taken as it is."""
        table = self._numbered.table(number)

        def make(connection: Connection) -> None:
            hold_writers(connection, self._outbox.shards)
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:  # of a table whose maker died before it had them
                index.create(connection, checkfirst=True)

        self._database.run(make)
        with suppress(IntegrityError):  # somebody else was as quick
            self._execute(queries.add(self._positions, number, is_open=is_open))

    def _close(self, opened: Position, following: int) -> None:
        def lead(connection: Connection) -> None:
            for statement in (queries.close(self._positions, opened.number), queries.begin(self._positions, following)):
                if connection.execute(statement).rowcount != 1:
                    raise _LedOn

        with suppress(_LedOn):
            self._database.run(lead)
            table, next_one = (self._numbered.table(number).fullname for number in (opened.number, following))
            self._hooks.emit(NumberedTableClosed(table, opened.row_count, next_one))

    # -- dropping ----------------------------------------------------------------------------------------

    def _drop_next(self, positions: Sequence[Position]) -> bool:
        """Forget the tables whose time is over, and drop the oldest that was forgotten a while ago; one at a time."""
        for position in filter(self._is_over, positions):
            if not self._is_archived(position):
                break
            self._execute(queries.forget(self._positions, position.number))
        due = [one for one in positions if one.forgotten_for is not None and one.forgotten_for >= GRACE_SECONDS]
        if len(due) > 1:
            self.hurry()
        return not due or self._drop(due[0])

    def _is_over(self, position: Position) -> bool:
        kept = self._numbered.options.keep.total_seconds()
        return position.forgotten_for is None and position.closed_for is not None and position.closed_for >= kept

    def _is_archived(self, position: Position) -> bool:
        """Archive more of a table, if tables are; return whether all of it is."""
        if self._archive is None or self._archive.advance(self._database, position.number):
            return True
        if not self._archive.is_held_up:
            self.is_archiving = True
            self.hurry()
        return False

    def _drop(self, position: Position) -> bool:
        table = self._numbered.table(position.number)
        if self._database.run(partial(is_there, table=table)):
            # Once more, when nobody reads it.
            if (row := self._dropper.unfinished(table)) is not None:
                self._tell(
                    table.fullname, f"it is to be dropped, but the task {row.id} in it has the status {row.status}"
                )
                return False
            # The file may be on another machine, of one who kept the tables before.
            if not self._is_archived(position):
                return True
            if not self._try(table, "to drop it", partial(self._dropper.drop, table)):
                return False
        self._execute(queries.remove(self._positions, position.number))
        self._hooks.emit(NumberedTableDropped(table.fullname, position.row_count))
        return True

    # -- trying ------------------------------------------------------------------------------------------

    def _execute(self, statement: Executable) -> None:
        self._database.run(lambda connection: connection.execute(statement))

    def _try(self, table: Table, what: str, act: Callable[[], None]) -> bool:
        """Do something to a table, and return whether that could be done; if not, tell why."""
        try:
            act()
        except DBAPIError as error:
            if is_lost(error, self._database.dialect):
                raise
            self._tell(table.fullname, self._reason(what, error))
            return False
        return True

    def _reason(self, what: str, error: DBAPIError) -> str:
        if self._database.dialect.is_contention(error):
            return f"its lock was not to be had {what}: a transaction is open that uses it"
        return f"the database answered {what}: {on_one_line(error.orig)}; {_RIGHTS}"

    def _tell(self, table: str, reason: str) -> None:
        self._next_at = self._clock() + _PATIENCE_SECONDS
        self._held_up.note(table, reason)
