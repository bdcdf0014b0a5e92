"""What one look at the tables has seen: all that the findings are drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.status import Status
from asyncflow.scheduler.diagnosis import queries
from asyncflow.scheduler.heads.parts import HeadParts
from asyncflow.scheduler.heads.queries import Head, read_heads_of
from asyncflow.scheduler.table.queries import read_clock
from asyncflow.scheduler.telling.instance_state import InstanceState
from asyncflow.scheduler.telling.roll_call import Member, recorded_members, recorded_shards

_MOST_PARTS = 16  # of the heads: some 8,000 lanes, in about a tenth of a second
_MOST_KEYS = 1_000  # parked ones that are read
MOST_TYPES = 100  # whose reasons are looked for: those that wait longest


class Waiting(NamedTuple):
    """Tell of a task type whose tasks are overdue: for how long the oldest, and in which shards."""

    task_type: str
    seconds: float
    shards: frozenset[int]


class ParkedRow(NamedTuple):
    """Tell of a parked key; without ``due`` it waits for the dead letter ``blocked_by``."""

    task_type: str
    key: str
    since: datetime
    due: datetime | None
    blocked_by: Any


@dataclass(frozen=True, kw_only=True)
class Sight:
    """Hold what was seen, all at about one moment, ``now`` by the database's clock."""

    now: datetime
    members: Sequence[Member]
    owners: Mapping[int, str | None]  # of shards; None: nobody, or a lease that ran out. Empty: no scheduler came yet
    waiting: Sequence[Waiting] = ()
    lately: Sequence[Waiting] = ()  # that wait as well, but not for so long that a reason is looked for
    later: Mapping[str, float] = field(
        default_factory=dict
    )  # of types of which nothing is due, in how many seconds it is
    parked: Sequence[ParkedRow] = ()  # the first of them
    off: frozenset[str] = frozenset()
    declared_off: frozenset[str] = frozenset()  # those of them of which the table does not say so
    at_work: frozenset[str] = frozenset()  # types without a handler in some instance, that somebody works on
    not_looked_at: str | None = None  # the type behind which others may wait
    destinations: Mapping[str, str] = field(default_factory=dict)  # of task types, as far as they are declared here
    topics: Mapping[str, str] = field(default_factory=dict)
    oldest_transactions: str | None = None  # a statement of this database, for a person who looks for locks

    @property
    def states(self) -> list[tuple[str, InstanceState]]:
        """Return the instances that tell of themselves."""
        return [(member.name, member.state) for member in self.members if member.state is not None]

    @property
    def all_tell(self) -> bool:
        """Tell whether every process that may be at work has told what it knows: nothing is concluded from silence."""
        told = {name for name, _ in self.states}
        return bool(told) and {member.name for member in self.members} | self.owning <= told

    @property
    def owning(self) -> set[str]:
        """Return the instances that own shards."""
        return {owner for owner in self.owners.values() if owner}

    @property
    def unowned(self) -> frozenset[int]:
        """Return the shards that nobody owns, or one alone who is drained and takes up nothing any more."""
        drained = {member.name for member in self.members if member.is_drained}
        return frozenset(shard for shard, owner in self.owners.items() if owner is None or owner in drained)

    def missing(self, one: Waiting) -> frozenset[int]:
        """Return the shards of a type that are none of those recorded; none is known before a scheduler came."""
        return one.shards - self.owners.keys() if self.owners else frozenset()

    def ago(self, seconds: float) -> datetime:
        """Return the moment that lies so far back."""
        return self.now - timedelta(seconds=seconds)

    def seconds_since(self, moment: float) -> float:
        """Return how long ago a moment was that an instance told, in seconds since 1970."""
        return self.now.timestamp() - moment


def at(moment: float) -> datetime:
    """Return a moment that an instance told as a datetime."""
    return datetime.fromtimestamp(moment, timezone.utc)


def look(connection: Connection, outbox: Outbox, overdue_seconds: float) -> Sight:
    """Look at everything: the types whose tasks are overdue by so much, and who is there to do them."""
    heads, last = _heads(connection, outbox)
    parked = connection.execute(queries.parked(outbox.parked_keys), {"most": _MOST_KEYS})
    seen = _seen(connection, outbox, waiting_in(heads, overdue_seconds), last)
    return replace(seen, later=later_in(heads), parked=list(map(ParkedRow._make, parked)))


def look_at_type(connection: Connection, outbox: Outbox, task_type: str) -> Sight:
    """Look at one type, overdue or not."""
    heads = read_heads_of(connection, outbox.tasks, Status.PENDING, task_type, outbox.shard_count)
    return _seen(connection, outbox, waiting_in(heads, 0.0), None)


def waiting_in(heads: Iterable[Head], overdue_seconds: float) -> list[Waiting]:
    """Return the types of which lanes are overdue, longest first."""
    found: dict[str, list[Head]] = {}
    for head in heads:
        if -float(head.due_in_seconds) >= overdue_seconds:
            found.setdefault(head.task_type, []).append(head)
    waiting = [
        Waiting(name, -min(float(one.due_in_seconds) for one in late), frozenset(one.shard for one in late))
        for name, late in found.items()
    ]
    return sorted(waiting, key=lambda one: -one.seconds)


def later_in(heads: Iterable[Head]) -> Mapping[str, float]:
    """Return of each type of which nothing is due in how many seconds its first task is, soonest first."""
    found: dict[str, float] = {}
    for head in heads:
        found[head.task_type] = min(float(head.due_in_seconds), found.get(head.task_type, float("inf")))
    return {name: seconds for name, seconds in sorted(found.items(), key=lambda one: one[1]) if seconds > 0}


def _heads(connection: Connection, outbox: Outbox) -> tuple[list[Head], str | None]:
    """Return the heads of PENDING, and the type behind which they were not read; None if all were."""
    parts = HeadParts(lambda work: work(connection), outbox.tasks, Status.PENDING, outbox.shard_count)
    heads: list[Head] = []
    for _ in range(_MOST_PARTS):
        part = parts.next()
        heads += part.heads
        if part.is_last:
            return heads, None
    return heads, heads[-1].task_type


def _seen(connection: Connection, outbox: Outbox, waiting: list[Waiting], last: str | None) -> Sight:
    names = [one.task_type for one in waiting[:MOST_TYPES]]
    members = [one for one in recorded_members(connection, outbox) if one.lease_seconds_left > 0]
    unhandled = {name for member in members if member.state for name in member.state.unhandled}
    shards = recorded_shards(connection, outbox)
    switches = _switches(connection, outbox, names)
    declared_off = _declared_off(outbox, names, members) - switches.keys()
    return Sight(
        now=connection.execute(read_clock()).scalar_one(),
        members=members,
        owners=shards.owners if shards.were_owned or members else {},
        waiting=waiting,
        off=declared_off | {name for name, is_on in switches.items() if not is_on},
        declared_off=declared_off,
        at_work=frozenset(name for name in unhandled.intersection(names) if _is_at_work(connection, outbox, name)),
        not_looked_at=last,
        destinations={name: kind.destination for name, kind in outbox.task_types.items()},
        topics={name: kind.topic for name, kind in outbox.task_types.items()},
        oldest_transactions=dialect_of(connection.dialect.name).oldest_transactions,
    )


def _switches(connection: Connection, outbox: Outbox, names: Sequence[str]) -> dict[str, bool]:
    """Return which of some types the table has on or off."""
    rows = connection.execute(queries.switches(outbox.schedule_cfgs), {"types": list(names)})
    return {name: bool(is_on) for name, is_on in rows if is_on is not None}


def _declared_off(outbox: Outbox, names: Sequence[str], members: Sequence[Member]) -> frozenset[str]:
    """Return those that are declared to be off: here, or else by all instances that have them."""
    here = {name: kind.enabled for name, kind in (*outbox.task_types.items(), *outbox.handler_types.items())}
    states = [member.state for member in members if member.state is not None]

    def is_off(name: str) -> bool:
        if name in here:
            return not here[name]
        having = [state for state in states if name not in state.undeclared]
        return bool(having) and all(name in state.off for state in having)

    return frozenset(filter(is_off, names))


def _is_at_work(connection: Connection, outbox: Outbox, name: str) -> bool:
    return connection.execute(queries.some_at_work(outbox.tasks), {"its_type": name}).first() is not None
