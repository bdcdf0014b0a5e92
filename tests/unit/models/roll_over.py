"""A model of roll-over tables: producers, a rotator, instances that read, a dropper; each may be killed at any step.

One message is delayed: it is due when nothing else waits. What commits, the model has happen at once; what a process
remembers may be as old as can be, and what it does with it may come as late as can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

DELAYED = 0  # the message that is not due while another one waits


class Table(IntEnum):
    """Say what there is of a table."""

    ABSENT = 0
    LIVE = 1  # producers may write to it
    SEALED = 2  # renamed: who writes to it finds it gone, who reads it knows where it is
    DROPPED = 3


class Row(IntEnum):
    """Say what there is of a message."""

    UNWRITTEN = 0
    OPEN = 1  # in a transaction of its producer
    PENDING = 2
    FAILED = 3  # a dead letter, which an operator may replay
    DONE = 4
    GONE = 5  # its transaction rolled back, or its producer was killed


class Message(NamedTuple):
    """Hold a message's row, the number of its table, and whether it was sent."""

    row: Row = Row.UNWRITTEN
    place: int = 0
    sent: bool = False
    failed: bool = False  # once: an operator replays it once


class Instance(NamedTuple):
    """Hold what a reading instance remembers: the tables it reads, what it acknowledged, the row it has in hand."""

    begin: int
    end: int
    acknowledged: int  # the first table that it still reads, as the database has it with its heartbeat
    in_hand: tuple[int, int] | None = None  # a message, and the table that it was read from


class State(NamedTuple):
    """Hold the whole system; tables are numbered from 1, and ``tables[0]`` is none."""

    tables: tuple[Table, ...]
    begin: int
    end: int
    messages: tuple[Message, ...]
    seen: tuple[int, ...]  # by each message's producer: the table to write to, 0 before it has looked
    instances: tuple[Instance | None, ...]  # None: not running
    checked: int = 0  # the table that the dropper has found empty, 0 for none
    wrote_to_dropped: bool = False
    kills: int = 0


@dataclass(frozen=True)
class RollOver:
    """Be the model; each of the switches, put off, is a design that must be found to be wrong."""

    tables: int = 2
    messages: int = 2
    instances: int = 2
    kills: int = 1
    drops_when_forgotten: bool = True  # a table is dropped when no instance reads it any more
    puts_down_first: bool = True  # an instance acknowledges when it has nothing in hand of what it no longer reads
    seals_by_proof: bool = True  # by the lock that no open transaction leaves free; else when time has passed
    reads_all: bool = True  # from begin to end; else the first table alone
    checks_again: bool = True  # after all have forgotten a table, before it is dropped

    def initial(self) -> State:
        """Begin with one table, and nothing written."""
        tables = (Table.ABSENT, Table.LIVE, *[Table.ABSENT] * (self.tables - 1))
        return State(
            tables, 1, 1, (Message(),) * self.messages, (0,) * self.messages, (Instance(1, 1, 1),) * self.instances
        )

    def steps(self, state: State) -> Iterator[tuple[str, State]]:
        """Return what each of them may do next."""
        for number in range(self.messages):
            yield from self._produce(state, number)
        yield from self._rotate(state)
        for number, instance in enumerate(state.instances):
            if instance is None:
                yield f"instance {number} starts", _with_instance(state, number, _fresh(state))
            else:
                yield from self._read(state, number, instance)
        yield from self._drop(state)

    def faults(self, state: State) -> Iterator[str]:
        """Nothing that was committed is lost, nothing reads or writes what is dropped, what is due can be read."""
        if state.wrote_to_dropped:
            yield "a dropped table was read from, or written to"
        for number, message in enumerate(state.messages):
            table = state.tables[message.place]
            if message.row in (Row.OPEN, Row.PENDING, Row.FAILED) and table is Table.DROPPED:
                yield f"message {number} is lost with its table"
            if message.row is Row.PENDING and self._is_due(state, number) and not self._is_in_reach(state, message):
                yield f"message {number} is due, and no instance would read it"

    def is_goal(self, state: State) -> bool:
        """All that was written is done, and of the tables the last one is left."""
        is_done = all(message.row in (Row.DONE, Row.GONE) for message in state.messages)
        older = range(1, self.tables)
        return is_done and state.end == self.tables and all(state.tables[one] is Table.DROPPED for one in older)

    # -- who does what -----------------------------------------------------------------------------------

    def _produce(self, state: State, number: int) -> Iterator[tuple[str, State]]:
        message, seen = state.messages[number], state.seen[number]
        if message.row is Row.UNWRITTEN:
            if seen != state.end:
                yield f"producer {number} looks", _with_seen(state, number, state.end)
            if seen and self._takes_rows(state.tables[seen]):
                opened = message._replace(row=Row.OPEN, place=seen)
                yield f"producer {number} writes to {seen}", _with_message(state, number, opened)
            elif seen:  # in a savepoint: its caller sees nothing of it
                yield f"producer {number} finds {seen} gone", _with_seen(state, number, 0)
        if message.row is Row.OPEN:
            yield f"producer {number} commits", _with_message(state, number, message._replace(row=Row.PENDING))
            yield f"producer {number} is no more", _with_message(state, number, Message(Row.GONE))

    def _takes_rows(self, table: Table) -> bool:
        return table is Table.LIVE or (table is Table.SEALED and not self.seals_by_proof)

    def _rotate(self, state: State) -> Iterator[tuple[str, State]]:
        """Take the next step, of which the tables and the position tell all: who was killed need not be asked."""
        following = state.end + 1
        if following <= self.tables:
            if state.tables[following] is Table.ABSENT:
                yield f"table {following} is made", _with_table(state, following, Table.LIVE)
            else:
                yield f"producers are led to {following}", state._replace(end=following)
        for table in range(1, state.end):
            has_open = any(one.row is Row.OPEN and one.place == table for one in state.messages)
            if state.tables[table] is Table.LIVE and not (has_open and self.seals_by_proof):
                yield f"table {table} is sealed", _with_table(state, table, Table.SEALED)
            if state.tables[table] is Table.SEALED:
                yield from self._carry(state, table)
        is_sealed = state.begin < state.end and state.tables[state.begin] is Table.SEALED
        if is_sealed and not _rows_in(state, state.begin, (Row.PENDING,)):
            yield f"readers are to forget {state.begin}", state._replace(begin=state.begin + 1)

    def _carry(self, state: State, table: int) -> Iterator[tuple[str, State]]:
        for number in _rows_in(state, table, (Row.PENDING, Row.FAILED)):
            carried = state.messages[number]._replace(place=state.end)
            yield f"message {number} is carried to {state.end}", _with_message(state, number, carried)

    def _read(self, state: State, number: int, instance: Instance) -> Iterator[tuple[str, State]]:
        if (instance.begin, instance.end) != (state.begin, state.end):
            looked = instance._replace(begin=state.begin, end=state.end)
            yield f"instance {number} looks", _with_instance(state, number, looked)
        holds_forgotten = instance.in_hand is not None and instance.in_hand[1] < instance.begin
        if instance.acknowledged != instance.begin and not (holds_forgotten and self.puts_down_first):
            told = instance._replace(acknowledged=instance.begin)
            yield f"instance {number} acknowledges {instance.begin}", _with_instance(state, number, told)
        if instance.in_hand is None:
            yield from self._fetch(state, number, instance)
            yield from self._replay(state, instance)
        else:
            yield from self._settle(state, number, *instance.in_hand)
        if state.kills < self.kills:
            yield f"instance {number} is killed", _with_instance(state._replace(kills=state.kills + 1), number, None)

    def _fetch(self, state: State, number: int, instance: Instance) -> Iterator[tuple[str, State]]:
        last = instance.end if self.reads_all else instance.begin
        for table in range(instance.begin, last + 1):
            if state.tables[table] is Table.DROPPED:
                yield f"instance {number} reads {table}", state._replace(wrote_to_dropped=True)
            for which in _rows_in(state, table, (Row.PENDING,)):
                if self._is_due(state, which):
                    held = instance._replace(in_hand=(which, table))
                    yield f"instance {number} takes message {which} of {table}", _with_instance(state, number, held)

    def _settle(self, state: State, number: int, which: int, table: int) -> Iterator[tuple[str, State]]:
        """Send and settle, in the table that it was read from: where it is there no more, nothing is written."""
        message = state.messages[which]._replace(sent=True)
        told = _with_instance(_with_message(state, which, message), number, _without_hand(state.instances[number]))
        if state.tables[table] is Table.DROPPED:
            yield f"instance {number} settles in {table}", told._replace(wrote_to_dropped=True)
        elif message.row is not Row.PENDING or message.place != table:
            yield f"instance {number} settles nothing", told
        else:
            done = message._replace(row=Row.DONE)
            yield f"instance {number} settles message {which}", _with_message(told, which, done)
            if not message.failed:
                lost = message._replace(row=Row.FAILED, failed=True)
                yield f"instance {number} gives message {which} up", _with_message(told, which, lost)

    def _replay(self, state: State, instance: Instance) -> Iterator[tuple[str, State]]:
        for table in range(instance.begin, instance.end + 1):
            for which in _rows_in(state, table, (Row.FAILED,)):
                again = state.messages[which]._replace(row=Row.PENDING)
                yield f"message {which} is replayed in {table}", _with_message(state, which, again)

    def _drop(self, state: State) -> Iterator[tuple[str, State]]:
        for table in range(1, state.begin):
            if state.tables[table] is not Table.SEALED or not self._may_drop(state, table):
                continue
            if self.checks_again and state.checked != table:
                if not _rows_in(state, table, (Row.PENDING, Row.FAILED)):
                    yield f"table {table} is found empty", state._replace(checked=table)
            elif not _rows_in(state, table, (Row.OPEN,)):  # the server lets no table go that a transaction is in
                yield f"table {table} is dropped", _with_table(state, table, Table.DROPPED)._replace(checked=0)

    def _may_drop(self, state: State, table: int) -> bool:
        """Tell whether all instances that live have acknowledged that they do not read the table any more."""
        if not self.drops_when_forgotten:
            return True
        return all(instance is None or instance.acknowledged > table for instance in state.instances)

    # -- what holds --------------------------------------------------------------------------------------

    def _is_due(self, state: State, number: int) -> bool:
        others = (message.row for which, message in enumerate(state.messages) if which != DELAYED)
        return number != DELAYED or all(row in (Row.DONE, Row.GONE) for row in others)

    def _is_in_reach(self, state: State, message: Message) -> bool:
        """Tell whether an instance that looks now would read it; behind it, it waits to be carried."""
        last = state.end if self.reads_all else state.begin
        return message.place <= last


def _rows_in(state: State, table: int, rows: Iterable[Row]) -> list[int]:
    wanted = tuple(rows)
    return [number for number, one in enumerate(state.messages) if one.place == table and one.row in wanted]


def _fresh(state: State) -> Instance:
    return Instance(state.begin, state.end, state.begin)


def _without_hand(instance: Instance | None) -> Instance | None:
    return None if instance is None else instance._replace(in_hand=None)


def _with_message(state: State, number: int, message: Message) -> State:
    return state._replace(messages=_put(state.messages, number, message))


def _with_seen(state: State, number: int, table: int) -> State:
    return state._replace(seen=_put(state.seen, number, table))


def _with_table(state: State, number: int, table: Table) -> State:
    return state._replace(tables=_put(state.tables, number, table))


def _with_instance(state: State, number: int, instance: Instance | None) -> State:
    """Replace an instance; those alike are in order, for it does not matter which of them is which."""
    instances = _put(state.instances, number, instance)
    return state._replace(instances=tuple(sorted(instances, key=_rank)))


def _rank(one: Instance | None) -> tuple[int, ...]:
    return (-1,) if one is None else (one.begin, one.end, one.acknowledged, *(one.in_hand or ()))


def _put(values: tuple, place: int, value: object) -> tuple:  # type: ignore[type-arg]
    return (*values[:place], value, *values[place + 1 :])
