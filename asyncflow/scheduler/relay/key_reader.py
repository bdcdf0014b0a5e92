"""The ordered keys of a round: each sends no more than its share of a page, and a parked one is read by itself."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from functools import partial

from sqlalchemy import Connection, Table

from asyncflow.outbox import Task
from asyncflow.scheduler.configuration.types_in_force import with_retries_in_force
from asyncflow.scheduler.heads.queries import Lane
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.order import Key, is_in_order, key_of
from asyncflow.scheduler.publishing.publisher import Outcome, Sent
from asyncflow.scheduler.relay.allowances import Allowances
from asyncflow.scheduler.relay.keys.key_pace import FIRST_ROWS, KeyPace
from asyncflow.scheduler.relay.keys.latest import Latest
from asyncflow.scheduler.relay.keys.neighbours import Neighbours
from asyncflow.scheduler.relay.keys.parking_change import KeyPage, Surplus, lane_of
from asyncflow.scheduler.relay.round import Round
from asyncflow.scheduler.relay.shared import Shared

_MOST_KEYS = 32  # parked ones, tried in one round
_MOST_OF_A_KEY = FIRST_ROWS  # of a page in one round: an ordered key's tasks are published one after the other
MOST_OF_A_CROWD = 2 * _MOST_OF_A_KEY  # of a page that is known to hold rows which wait: by so many it is seen again
_MOST_IN_THE_WAY = 1000  # rows of a parked key that are set aside in one round: neighbours wait for the round


class KeyReader:
    """Read the keys that wait for themselves into a round; lives as long as its relay, used by its thread alone.

    Asked only while there is an ordered type.
    """

    def __init__(self, tasks: Table, shared: Shared, breakers: Breakers, allowances: Allowances) -> None:
        self._types = shared.types
        self._parking = shared.parking
        self._locked = shared.locked
        self._breakers = breakers
        self._allowances = allowances
        self._pace = KeyPace()
        self._neighbours = Neighbours(tasks)
        self._latest = Latest(tasks, shared.types)
        self.crowded: Set[Lane] = frozenset()  # lanes in which the last round left neighbours behind hot keys
        self._probes_a_key = False  # rather than a row of the pages, as the last probe was one

    def are_due(self, epochs: Mapping[int, int]) -> bool:
        """Tell whether keys are to be read of these shards, or may be tried now."""
        return self._parking.is_stale(epochs) or self.seconds_until_due(epochs) == 0

    def seconds_until_due(self, shards: Collection[int]) -> float:
        """Return how long until a parked key may be tried; infinity if none is parked."""
        return self._parking.seconds_until_due(self._allowances.closed_for(shards))

    def is_parked(self, task: Task) -> bool:
        """Tell whether the task's key is read by itself."""
        return self._parking.is_parked(task)

    def read(self, connection: Connection, found: Round, limit: int) -> None:
        """Keep of the round what may go from its pages, of up to ``limit`` rows, and add what is due by its key."""
        self._parking.learn(connection, found.hold.epochs)
        met, free = self._parted(found.tasks)
        free = self._latest.of_keys(free, found.not_sent)
        met += [task for task in found.behind if self._parking.is_parked(task)]
        firsts, surplus = self._within_shares(free, found, limit, {})
        # What waits behind a locked row is read past and not parked: its key would begin behind that row.
        behind = [task for task in found.behind if not self._parking.is_parked(task)]
        hot = _hot_keys([*met, *behind, *_beyond(surplus)], limit, found.full)
        mosts: dict[Key, int] = {}
        self.crowded = frozenset()
        if past := self._read_past(connection, found, hot, limit):
            more, others = self._parted(past)
            met, free = met + more, self._latest.of_keys(free + others, found.not_sent)
            mosts = self._while_others_wait(hot, others)
            firsts, surplus = self._within_shares(free, found, limit, mosts)
        if free:
            self._pace.meet_others()
        # After the pages: so a row that stands in them is seen here, too, and its key not released over its head.
        blocking, in_the_way = self._in_the_way(connection, met, limit)
        limit_of = partial(self._most_of, limit=limit, mosts={**dict.fromkeys(blocking, 1), **mosts})
        may_go = partial(self._may_go, shards=found.hold.epochs)
        key_pages = self._due_pages(connection, self._most_keys(free), limit_of, may_go, met)
        firsts, key_pages = self._latest.in_round(connection, firsts, key_pages, found.not_sent)
        by_key = [task for page in key_pages.values() for task in page.tasks]
        if self._breakers.is_probing:
            self._probes_a_key = not by_key
            firsts, surplus = ([], {}) if by_key else (firsts, surplus)
        found.surplus = surplus
        found.tasks, found.key_pages = [*firsts, *by_key], key_pages
        read_by_key = (*by_key, *itertools.chain(*found.not_sent.rows()))
        found.met = _without(met, read_by_key)
        # None of these was committed late, or its key had not been read: it begins before them.
        found.staying = {key for key in mosts if key in key_pages and key_pages[key].tasks}
        found.in_the_way = _without(in_the_way, (*read_by_key, *found.met))

    def observe(self, found: Round, outcomes: Sequence[Outcome | None], seconds_a_wave: float | None) -> None:
        """Take in what became of a round's tasks, and how long a wave after the first took, if there was one."""
        self._neighbours.observe(found.tasks, outcomes)
        if not found.key_pages:
            return
        ordered = self._types.ordered
        tasks = zip(found.tasks, outcomes, strict=True)
        sent = Counter(
            key_of(task) for task, outcome in tasks if isinstance(outcome, Sent) and is_in_order(task, ordered)
        )
        self._pace.observe({key: len(page.tasks) for key, page in found.key_pages.items()}, sent, seconds_a_wave)
        self._pace.keep(self._parking.knows)

    def _parted(self, tasks: list[Task]) -> tuple[list[Task], list[Task]]:
        """Return those of parked keys, and the others."""
        met = [task for task in tasks if self._parking.is_parked(task)] if self._parking else []
        return met, _without(tasks, met) if met else tasks

    def _most_keys(self, free: Collection[Task]) -> int:
        if not self._breakers.is_probing:
            return _MOST_KEYS
        return 1 if self._probes_a_key or not free else 0

    def _due_pages(
        self,
        connection: Connection,
        most: int,
        limit_of: Callable[[Key], int],
        may_go: Callable[[Key], bool],
        met: Sequence[Task],
    ) -> dict[Key, KeyPage]:
        """Read up to ``most`` of the keys that are due, with the retries that are in force."""
        pages = self._parking.read_due(connection, most, limit_of, may_go, met)
        configured = self._types.configured
        return {key: page._replace(tasks=with_retries_in_force(page.tasks, configured)) for key, page in pages.items()}

    def _may_go(self, key: Key, shards: Collection[int]) -> bool:
        """Tell whether tasks of a parked key may go now."""
        return not self._locked.has_key(key) and self._allowances.closed_for(shards)(key.task_type) == 0

    def _most_of(self, key: Key, *, limit: int, mosts: Mapping[Key, int]) -> int:
        """Return how many rows of a parked key that is due are read in a round."""
        if self._breakers.is_probing:
            return 1
        if key in mosts:
            return mosts[key]  # what stands behind a key that is in the way has waited long enough
        if key.task_type in self._types.coalescing:
            return limit  # one of them is sent
        return self._pace.rows_of(key, limit)

    def _in_the_way(self, connection: Connection, met: Iterable[Task], limit: int) -> tuple[set[Key], list[Task]]:
        """Return the parked key that fills most of some page, and further rows of it, to be set aside.

        There is time for these when no neighbours are known that wait.
        """
        for (key, lane), count in Counter((key_of(task), lane_of(task)) for task in met).most_common(1):
            if count <= _share_of_a_key(limit):
                break
            if self._neighbours.are_left(lane):
                return {key}, []
            found = self._parking.read_in_the_way(connection, key, _MOST_IN_THE_WAY)
            return set(map(key_of, found)), [task for task in found if not self._locked.has_row(task.raw_id)]
        return set(), []

    def _read_past(self, connection: Connection, found: Round, hot: Mapping[Lane, set[str]], limit: int) -> list[Task]:
        """Read what stands behind hot keys, until these are set aside."""
        if not hot or self._breakers.is_probing:
            return []
        past = self._neighbours.read(connection, hot, found.hold.epochs, limit)
        past = _without(past, (*found.tasks, *found.behind))
        if self._locked.parts:
            past, _ = self._locked.passed_over(past)
        return with_retries_in_force(past, self._types.configured)

    def _while_others_wait(self, hot: Mapping[Lane, set[str]], others: Iterable[Task]) -> dict[Key, int]:
        """Return how many rows hot keys may have in a round that leaves some ``others`` behind them for the next one.

        As many as the longest of these has in it: so none lengthens the round, for each wave takes one of each key.
        """
        counts = Counter((lane_of(task), key_of(task)) for task in others)
        longest: dict[Lane, int] = {}
        for (lane, _), count in counts.items():
            longest[lane] = max(count, longest.get(lane, 1))
        self.crowded = {lane for lane in hot if self._neighbours.are_left(lane)}
        return {Key(lane[0], key): longest.get(lane, 1) for lane in self.crowded for key in hot[lane]}

    def _within_shares(
        self, tasks: Collection[Task], found: Round, limit: int, mosts: Mapping[Key, int]
    ) -> tuple[list[Task], dict[Key, Surplus]]:
        """Return the tasks without those of an ordered key beyond its share, and the keys that so fill a page.

        In a page that is not full nobody waits behind them: they are left for a later round.
        """
        ordered = self._types.ordered
        kept: list[Task] = []
        of_keys: dict[Key, Surplus] = {}
        for task in tasks:
            if not is_in_order(task, ordered):
                kept.append(task)
                continue
            rows = of_keys.setdefault(key := key_of(task), Surplus([], []))
            fills = lane_of(task) in found.full
            share = _share_of_a_key(limit) if fills else _MOST_OF_A_KEY
            if len(rows.within) < min(share, mosts.get(key, share)):
                rows.within.append(task)
                kept.append(task)
            elif fills:
                rows.beyond.append(task)
        return kept, {key: rows for key, rows in of_keys.items() if rows.beyond}


def _share_of_a_key(limit: int) -> int:
    """Return how many rows of a full page one key may have."""
    return min(_MOST_OF_A_KEY, max(1, limit // 2))


def _hot_keys(waiting: Iterable[Task], limit: int, full: Set[Lane]) -> dict[Lane, set[str]]:
    """Return the keys that fill pages with rows which wait: others stand behind them."""
    of_lanes: dict[Lane, list[Task]] = {}
    for task in waiting:
        of_lanes.setdefault(lane_of(task), []).append(task)
    return {
        lane: {task.key or "" for task in tasks}
        for lane, tasks in of_lanes.items()
        if lane in full and len(tasks) >= _share_of_a_key(limit)
    }


def _beyond(surplus: Mapping[Key, Surplus]) -> list[Task]:
    return [task for rows in surplus.values() for task in rows.beyond]


def _without(tasks: list[Task], others: Iterable[Task]) -> list[Task]:
    known = {task.raw_id for task in others}
    return [task for task in tasks if task.raw_id not in known]
