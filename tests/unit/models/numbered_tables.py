"""A model of numbered tables: movers, a keeper, a reader; a mover may be killed, or stand still, at any step.

What commits, the model has happen at once; what a process read may be as old as can be when it goes by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Table(IntEnum):
    """Say what there is of a table."""

    ABSENT = 0
    AHEAD = 1
    OPEN = 2
    CLOSED = 3
    FORGOTTEN = 4
    DROPPED = 5


READABLE = (Table.AHEAD, Table.OPEN, Table.CLOSED)


class Mover(NamedTuple):
    """Hold what an open transaction has of a mover: a row, copied into the table that was open when it looked."""

    table: int
    row: int
    is_counted: bool = False  # it has changed the position, and holds it until the end


class Reader(NamedTuple):
    """Hold which tables the reader knows of, and whether its statement missed the row that it looks for."""

    known: frozenset[int]
    has_missed: bool = False
    has_read: bool = False


class State(NamedTuple):
    """Hold the whole system; tables are numbered from 1, and place 0 is the task table."""

    tables: tuple[Table, ...]
    places: tuple[int, ...]  # of the rows, as committed
    movers: tuple[Mover | None, ...]
    reader: Reader | None = None
    fault: str = ""
    kills: int = 0


@dataclass(frozen=True)
class NumberedTables:
    """Be the model; each of the switches, put off, is a design that must be found to be wrong."""

    tables: int = 3
    rows: int = 2
    movers: int = 2
    kills: int = 1
    counts_in: bool = True  # whoever moves changes the position of an open table last; whoever closes it, too
    looks_again: bool = True  # a reader asks behind its statement whether there are more tables by now

    def initial(self) -> State:
        """Begin with one table that is open, and all rows in the task table."""
        tables = (Table.ABSENT, Table.OPEN, *[Table.ABSENT] * (self.tables - 1))
        return State(tables, (0,) * self.rows, (None,) * self.movers)

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """Return what each of them may do next."""
        for number, mover in enumerate(state.movers):
            if mover is None:
                yield from self._take(state, number)
            else:
                yield from self._move(state, number, mover)
        yield from self._keep(state)
        yield from self._read(state)

    def faults(self, state: State) -> Iterator[str]:
        """Nothing gets into a table that is closed, and what is kept is found."""
        if state.fault:
            yield state.fault

    def is_goal(self, state: State) -> bool:
        """All rows have moved, and their tables are dropped."""
        return all(place and state.tables[place] is Table.DROPPED for place in state.places)

    # -- who does what -----------------------------------------------------------------------------------

    def _take(self, state: State, number: int) -> Iterator[tuple[str, State]]:
        if Table.OPEN not in state.tables:
            return
        table = state.tables.index(Table.OPEN)
        locked = {mover.row for mover in state.movers if mover is not None}
        for row, place in enumerate(state.places):
            if place == 0 and row not in locked:
                yield f"mover {number} copies {row} into {table}", _with_mover(state, number, Mover(table, row))

    def _move(self, state: State, number: int, mover: Mover) -> Iterator[tuple[str, State]]:
        if state.kills < self.kills:
            yield f"mover {number} is killed", _with_mover(state._replace(kills=state.kills + 1), number, None)
        if mover.is_counted or not self.counts_in:
            places = _put(state.places, mover.row, mover.table)
            done = _with_mover(state._replace(places=places), number, None)
            if state.tables[mover.table] is not Table.OPEN:
                done = done._replace(fault=f"row {mover.row} got into {mover.table}, which was closed")
            yield f"mover {number} commits", done
        elif state.tables[mover.table] is not Table.OPEN:
            yield f"mover {number} finds {mover.table} closed", _with_mover(state, number, None)
        elif not _holds(state, mover.table):
            yield f"mover {number} counts in", _with_mover(state, number, mover._replace(is_counted=True))

    def _keep(self, state: State) -> Iterator[tuple[str, State]]:
        for table in range(1, self.tables + 1):
            its, following = state.tables[table], table + 1
            if its is Table.OPEN and following <= self.tables and not _holds(state, table):
                if state.tables[following] is Table.ABSENT:
                    yield f"{following} is made", _with_table(state, following, Table.AHEAD)
                elif table in state.places:
                    closed = _with_table(state, table, Table.CLOSED)
                    yield f"{table} is closed", _with_table(closed, following, Table.OPEN)
            if its is Table.CLOSED:
                yield f"{table} is forgotten", _with_table(state, table, Table.FORGOTTEN)
            is_used = any(mover is not None and mover.table == table for mover in state.movers)
            if its is Table.FORGOTTEN and not is_used:  # the server lets no table go that a transaction is in
                yield f"{table} is dropped", _with_table(state, table, Table.DROPPED)

    def _read(self, state: State) -> Iterator[tuple[str, State]]:
        """Look for row 0: what tables there are, then the row, then what tables there are by now."""
        reader, readable = state.reader, frozenset(n for n, its in enumerate(state.tables) if its in READABLE)
        if reader is None:
            yield "the reader asks for tables", state._replace(reader=Reader(readable))
        elif not reader.has_read:
            place = state.places[0]
            is_kept = place == 0 or state.tables[place] in READABLE
            has_missed = is_kept and place != 0 and place not in reader.known
            yield "the reader reads", state._replace(reader=reader._replace(has_missed=has_missed, has_read=True))
        elif self.looks_again and not readable <= reader.known:
            yield "the reader reads again", state._replace(reader=Reader(readable))
        else:
            fault = "row 0 is kept, and was not found" if reader.has_missed else ""
            yield "the reader answers", state._replace(reader=None, fault=state.fault or fault)


def _holds(state: State, table: int) -> bool:
    """Tell whether a mover holds the position of a table."""
    return any(mover is not None and mover.table == table and mover.is_counted for mover in state.movers)


def _with_mover(state: State, number: int, mover: Mover | None) -> State:
    return state._replace(movers=_put(state.movers, number, mover))


def _with_table(state: State, number: int, table: Table) -> State:
    return state._replace(tables=_put(state.tables, number, table))


def _put(values: tuple, place: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:place], value, *values[place + 1 :])
