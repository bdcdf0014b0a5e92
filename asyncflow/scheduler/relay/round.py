"""A round: what a relay has fetched, and how much that may be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import ceil
from operator import attrgetter
from typing import NamedTuple

from asyncflow.outbox import Task
from asyncflow.scheduler.cluster.share import Hold
from asyncflow.scheduler.heads.queries import MOST_PAGES, Lane
from asyncflow.scheduler.heads.waits import DueMoments
from asyncflow.scheduler.loops.pause import LONG_SECONDS
from asyncflow.scheduler.publishing.order import Key, is_written
from asyncflow.scheduler.publishing.publisher import Outcome
from asyncflow.scheduler.relay.keys.parking_change import KeyPage, Surplus

KeyInShard = tuple[str, int, "str | None"]


class Filled(NamedTuple):
    """Tell that the pages of so many lanes held ``rows``, of ``wanted`` ones, where there was ``room`` for more."""

    lanes: int
    rows: int
    wanted: int
    room: int


class RoundSize:
    """Choose how many rows a round may read, so that their payloads stay within ``most_bytes``.

    Grows from a small first round by doubling: how large a row is, only reading tells. The number of ``lanes`` that it
    reads is what fills it, if the next ones hold as much as the last ones did. Used by its relay's thread alone.
    """

    _FIRST = 100
    _MOST_LANES = 16 * MOST_PAGES

    def __init__(self, most_rows: int, most_bytes: int) -> None:
        self._most_rows = most_rows
        self._most_bytes = most_bytes
        self.rows = min(self._FIRST, most_rows)
        self.lanes = MOST_PAGES

    def observe(self, rows: int, size: int, filled: Filled | None = None) -> None:
        """Take in that ``rows`` rows held ``size`` bytes, and how far their pages were ``filled``."""
        if rows:
            fitting = int(self._most_bytes * rows / max(size, 1))
            self.rows = max(1, min(self.rows * 2, fitting, self._most_rows))
        if filled is not None:
            self._observe_pages(rows, filled)

    def observe_round(self, found: Round, filled: Filled | None) -> int:
        """Take in a round, and how far its pages were filled if that tells of others; return how many rows it holds."""
        parts = found.rows()
        rows, size = sum(map(len, parts)), sum(map(payload_bytes, parts))
        self.observe(rows, found.left_bytes + size, filled)
        return rows

    def _observe_pages(self, taken: int, filled: Filled) -> None:
        if filled.rows >= filled.room:  # nobody knows how many there were
            self.lanes = max(self.lanes // 2, MOST_PAGES)
        elif 2 * filled.lanes >= self.lanes:  # a few lanes tell nothing of many
            read = max(1, filled.rows)
            taken_of_wanted = min(1.0, taken / min(read, filled.wanted))  # the rest had to wait for what is in hand
            fitting = ceil(filled.lanes * (filled.wanted / read) * taken_of_wanted)
            self.lanes = max(MOST_PAGES, min(max(fitting, self.lanes // 2), 2 * self.lanes, self._MOST_LANES))


@dataclass(slots=True)
class NotSent:
    """Hold rows of a round that are not sent: of a ``superseded`` one the latest of its key is among the tasks.

    Of an ``overtaken`` one a later one of its key was sent before.
    """

    superseded: list[Task] = field(default_factory=list)
    overtaken: list[Task] = field(default_factory=list)

    def rows(self) -> tuple[list[Task], ...]:
        """Return all of them."""
        return self.superseded, self.overtaken

    def over(self, tasks: Sequence[Task], outcomes: Sequence[Outcome | None]) -> list[Task]:
        """Return those that are over when the round's tasks have come to these outcomes.

        Of a key whose latest is left as it is, all others are.
        """
        if not self.superseded:
            return self.overtaken
        outcomes_of = zip(tasks, outcomes, strict=True)
        written = {place_of(task) for task, outcome in outcomes_of if is_written(outcome)}
        return [*self.overtaken, *(task for task in self.superseded if place_of(task) in written)]

    def supersede(self, task: Task) -> None:
        """Know of one behind which another of its key stands."""
        self.superseded.append(task)

    def overtake(self, tasks: Sequence[Task]) -> None:
        """Know of some that come too late, and so does what they supersede."""
        places = set(map(place_of, tasks))
        self.overtaken += [*tasks, *(task for task in self.superseded if place_of(task) in places)]
        self.superseded = [task for task in self.superseded if place_of(task) not in places]


@dataclass(slots=True)
class Round:
    """Hold what was fetched: ``tasks`` to deliver, and what concerns parked keys.

    ``hold`` keeps its shards, in the epochs in which they were read.
    ``surplus`` are keys that fill a page beyond their share: from now on these are read by themselves.
    ``in_the_way`` are further rows of parked keys that fill pages, without their payloads.
    ``not_sent`` are rows in whose place a later one of their key goes, or went.
    ``wait_seconds`` tells how soon something else may be due, if there is nothing.
    """

    hold: Hold
    tasks: list[Task] = field(default_factory=list)
    key_pages: dict[Key, KeyPage] = field(default_factory=dict)
    met: list[Task] = field(default_factory=list)  # rows of parked keys that stood in the pages
    staying: Collection[Key] = ()  # parked keys whose rows are left in the pages, for others wait behind them
    surplus: dict[Key, Surplus] = field(default_factory=dict)
    in_the_way: list[Task] = field(default_factory=list)
    not_sent: NotSent = field(default_factory=NotSent)
    behind: list[Task] = field(default_factory=list)  # rows that wait behind a locked one of their key
    full: set[Lane] = field(default_factory=set)  # lanes whose pages were full, where order matters
    wait_seconds: float = LONG_SECONDS
    leaves_others: bool = False  # other lanes are due, or in hand, so the next round need not wait for this one
    read: int = 0  # rows of pages, of which those that come later than others were left
    left_bytes: int = 0  # of the payloads of those
    due_times: DueMoments | None = None  # of rows of pages

    def __len__(self) -> int:
        return len(self.tasks) + len(self.key_pages) + len(self.met) + len(self.surplus) + len(self.not_sent.overtaken)

    def beyond_shares(self) -> list[Task]:
        """Return the rows of hot keys that stood in the pages and are not delivered."""
        return [task for rows in self.surplus.values() for task in rows.beyond]

    def rows(self) -> tuple[list[Task], ...]:
        """Return what was read: to deliver, of parked keys, of hot ones, and what is not to be sent any more."""
        return self.tasks, self.met, self.beyond_shares() if self.surplus else [], *self.not_sent.rows()

    def shards(self) -> set[int]:
        """Return the shards of all its rows and keys, and of those who may join it."""
        if self.lets_join():
            return set(self.hold.epochs)
        of_pages = (page.shard for page in self.key_pages.values())
        return set(map(_shard_of, chain.from_iterable(self.rows()))).union(of_pages)

    def lets_join(self) -> bool:
        """Tell whether others would wait long for its end: a key has several rows in it, which go one by one."""
        return any(len(page.tasks) > 1 for page in self.key_pages.values())

    def join(self, tasks: Iterable[Task], due_times: DueMoments) -> None:
        """Take in who was read while the waves of a key went on."""
        self.tasks += tasks
        self.due_times = due_times


# Getters in C take a fifth of what an expression takes, for each row.
_payload_of, _shard_of = attrgetter("payload"), attrgetter("shard")


def payload_bytes(tasks: Iterable[Task]) -> int:
    """Return how much the payloads hold in memory."""
    return sum(map(len, filter(None, map(_payload_of, tasks))))


def place_of(task: Task) -> KeyInShard:
    """Return the lane and the key of a task: in there rows are read in their order."""
    return task.task_type, task.shard, task.key
