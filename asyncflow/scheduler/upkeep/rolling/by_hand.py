"""The numbered tables as a person sees them, and how they go when roll-over is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, Engine, Executable, MetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import DropTable

from asyncflow.errors import OptionError, SchedulersRunError
from asyncflow.outbox import Outbox
from asyncflow.outbox.lines.connecting import connected
from asyncflow.outbox.lines.limits import OF_A_COMMAND
from asyncflow.outbox.lines.lost import is_lost
from asyncflow.outbox.rolling.numbered_tables import NumberedTables
from asyncflow.outbox.rolling.roll_over import RollOver
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.telling.roll_call import recorded_members
from asyncflow.scheduler.upkeep.rolling import queries
from asyncflow.scheduler.upkeep.rolling.dropper import Dropper
from asyncflow.scheduler.upkeep.rolling.faults import is_there
from asyncflow.scheduler.upkeep.rolling.position import Position
from asyncflow.text import on_one_line


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedTableView:
    """Tell of one numbered table: how many rows went into it, and for how many seconds it has been what it is.

    ``state`` is ahead, open, closed or forgotten; a table that is missing is not there, though it has a position.
    """

    table: str
    state: str
    rows: int
    seconds: float | None
    is_there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedTableGone:
    """Tell what became of one table: it was dropped, or ``left`` says why it was left as it is."""

    table: str
    rows: int
    left: str | None = None


class TablesByHand:
    """Look at the numbered tables of an outbox, whether it has ``roll_over`` or not any more, and drop them."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox
        tasks = outbox.tasks
        prefix = tasks.name.removesuffix("task")
        plain = Outbox(
            MetaData(), prefix=prefix, schema=tasks.schema
        )  # another MetaData: nothing is declared by a look
        self._numbered = NumberedTables(plain.tasks, prefix, RollOver())

    def all(self) -> list[NumberedTableView]:
        """Return all of them, oldest first; none where there was no roll-over."""
        with connected(self._engine) as connection:
            return [self._view(connection, one) for one in self._positions(connection)]

    def require_left(self) -> None:
        """Raise OptionError if the outbox has ``roll_over``, SchedulersRunError if a living instance has it."""
        if self._outbox.numbered_tables is not None:
            raise OptionError("roll_over is given to the Outbox; leave it out, deploy that, and call this again")
        with connected(self._engine) as connection:
            members = recorded_members(connection, self._outbox)
        living = [one for one in members if one.lease_seconds_left > 0 and one.state is not None]
        rolling = [one.name for one in living if one.state and "roll_over" in one.state.settings]
        if rolling:
            raise SchedulersRunError(
                f"{', '.join(rolling)} still run with roll_over; deploy without it, "
                "and call this again: `asyncflow instances list` tells who runs"
            )

    def drop(self) -> Iterator[NumberedTableGone]:
        """Drop one after the other, oldest first, then the positions; a lock is waited for a second.

        Raises what ``require_left`` raises.
        """
        self.require_left()
        with Database(self._engine, limits=OF_A_COMMAND) as database:
            dropper, are_left = Dropper(self._outbox, database), False
            for position in database.run(self._positions):
                gone = self._drop(database, dropper, position)
                are_left = are_left or gone.left is not None
                yield gone
            if not are_left:
                _execute(database, DropTable(self._numbered.positions, if_exists=True))

    def _positions(self, connection: Connection) -> list[Position]:
        positions = self._numbered.positions
        if not is_there(connection, positions):
            return []
        return list(map(Position.of, connection.execute(queries.positions(positions))))

    def _view(self, connection: Connection, one: Position) -> NumberedTableView:
        table = self._numbered.table(one.number)
        states = (("forgotten", one.forgotten_for), ("closed", one.closed_for), ("open", one.opened_for))
        state, seconds = next((told for told in states if told[1] is not None), ("ahead", None))
        found = is_there(connection, table)
        return NumberedTableView(table=table.fullname, state=state, rows=one.row_count, seconds=seconds, is_there=found)

    def _drop(self, database: Database, dropper: Dropper, position: Position) -> NumberedTableGone:
        table, positions = self._numbered.table(position.number), self._numbered.positions
        gone = partial(NumberedTableGone, table=table.fullname, rows=position.row_count)
        try:
            if database.run(partial(is_there, table=table)):
                if (row := dropper.unfinished(table)) is not None:
                    return gone(
                        left=f"the task {row.id} in it has the status {row.status}: insert the row into "
                        f"{self._outbox.tasks.fullname} again, and delete it there"
                    )
                _execute(database, queries.forget(positions, position.number, by_hand=True))
                dropper.drop(table)
            _execute(database, queries.remove(positions, position.number, by_hand=True))
        except DBAPIError as error:
            if is_lost(error, database.dialect):
                raise
            if database.dialect.is_contention(error):
                return gone(left="its lock was not to be had: a transaction is open that uses it; call this again")
            return gone(left=f"the database answered: {on_one_line(error.orig)}")
        return gone()


def _execute(database: Database, statement: Executable) -> None:
    database.run(lambda connection: connection.execute(statement))
