"""What a relay takes next: due rows of its destination, shared fairly among types, shards, retries and fresh rows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from functools import partial

from sqlalchemy import Connection

from asyncflow.events import Hooks, PageFetched
from asyncflow.outbox import Outbox, Task
from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.status import Status
from asyncflow.scheduler.configuration.types_in_force import with_retries_in_force
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.heads import queries
from asyncflow.scheduler.heads.lookout import Lookout
from asyncflow.scheduler.heads.planner_statistics import PlannerStatistics
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head, Lane, Pages
from asyncflow.scheduler.heads.recent_heads import RecentHeads
from asyncflow.scheduler.heads.unknown_types import UnknownTypes
from asyncflow.scheduler.loops.pause import LONG_SECONDS
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.order import Key, key_of
from asyncflow.scheduler.relay.alternation import Alternation
from asyncflow.scheduler.relay.locked_rows import LockedRows
from asyncflow.scheduler.relay.parking import Parking
from asyncflow.scheduler.relay.parking_change import Surplus
from asyncflow.scheduler.relay.priorities import Priorities, RoundPlan, in_no_order
from asyncflow.scheduler.relay.queries import MOST_AHEAD
from asyncflow.scheduler.relay.rate_limit import RateLimit
from asyncflow.scheduler.relay.round import Round, RoundSize
from asyncflow.scheduler.relay.turns import Turns
from asyncflow.scheduler.settings import SchedulerSettings

_MOST_KEYS = 32  # parked ones, tried in one round
_MOST_OF_A_KEY = 32  # in one round: an ordered key's tasks are published one after the other
_MOST_OF_A_LONE_KEY = 64  # where nothing else stood in the pages, which would wait for them
_MOST_IN_THE_WAY = 5000  # rows of a parked key that are set aside in one round, for they fill the pages
_LOOK_PAST_LOCKED_SECONDS = 0.1


class Fetcher:
    """Fetch rounds for one destination; lives as long as its relay, used by its thread alone."""

    def __init__(
        self,
        destination: str,
        outbox: Outbox,
        database: Database,
        breakers: Breakers,
        settings: SchedulerSettings,
        types: Mapping[str, MessageType],
        unknown_types: UnknownTypes,
        lookout: Lookout,
        hooks: Hooks,
    ) -> None:
        self.parking = Parking(outbox, types, self._is_ordered_here)
        self._destination = destination
        self._outbox = outbox
        self._types = types
        self._database = database
        self._breakers = breakers
        self._unknown_types = unknown_types
        self._hooks = hooks
        # Two rounds can be in hand.
        self._size = RoundSize(settings.round_size, max(1, settings.round_bytes // 2))
        self._streams = False
        self._recent = RecentHeads(lambda: lookout.seen_by(self._look))
        self._statistics = PlannerStatistics(outbox.tasks)
        self._priorities = Priorities(self._is_ordered_here)
        self._turns, self._newest_turns = Turns(), Turns()
        self._limits: dict[str, RateLimit] = {}
        self._alternation = Alternation()
        self._probes_a_key = False  # rather than a row of the pages, as the last probe was one
        self.locked = LockedRows(lambda _: False)  # its relay's
        self._crowded: set[Lane] = set()  # whose last page was full, of retries mostly

    def fetch(self, epochs: Mapping[int, int], in_hand: Set[Lane] = frozenset()) -> Round:
        """Read the next round of the owned shards, without the lanes ``in_hand``.

        Of a backlog it takes half of the lanes, so that the next round finds others while this one is settled.
        """
        if not epochs:
            return Round()
        remembered = self._recent.remembered()
        found = self._fetch(remembered, epochs, in_hand) if remembered else Round()
        if found or found.read:  # what was read and not taken comes after what is in hand
            return found
        return self._fetch(self._recent.look(), epochs, in_hand)

    def _fetch(self, seen: Sequence[Head], epochs: Mapping[int, int], in_hand: Set[Lane]) -> Round:
        mine = [self._by_turn(head) for head in self._mine(seen, epochs)]
        heads = [head for head in mine if (head.task_type, head.shard) not in in_hand]
        open_heads = [head for head in heads if self._seconds_closed(head.task_type, epochs) == 0]
        due = self._priorities.frontiers(head for head in open_heads if head.due_in_seconds <= 0)
        held = self._priorities.frontiers(head for head in mine if (head.task_type, head.shard) in in_hand)
        places = len(due) + len(in_hand)
        found = self._read(due, held, places, epochs) if due or self._keys_are_due(epochs) else Round()
        found.wait_seconds = self._seconds_until_due(heads, epochs)
        if self.locked:
            found.wait_seconds = max(_LOOK_PAST_LOCKED_SECONDS, found.wait_seconds)  # they look as if they were due
        return found

    # -- what is due -------------------------------------------------------------------------------------

    def _look(self) -> list[Head]:
        return self._database.run(partial(queries.read_heads, tasks=self._outbox.tasks, status=Status.PENDING))

    def _mine(self, heads: Iterable[Head], epochs: Mapping[int, int]) -> list[Head]:
        mine = [head for head in heads if head.shard in epochs]
        self._unknown_types.notice(head.task_type for head in mine)
        return [head for head in mine if self._type_here(head.task_type) is not None]

    def _by_turn(self, head: Head) -> Head:
        """Let no row of an ordered type wait for a clock that was set back: all are due that are not set aside."""
        if not self._is_ordered_here(head.task_type):
            return head
        ahead = MOST_AHEAD.total_seconds()
        return head._replace(due_in_seconds=head.due_in_seconds - ahead, ahead_seconds=ahead)

    def is_ahead(self, head: Head) -> bool:
        """Tell whether the first row is due though the clock is not there yet."""
        return self._by_turn(head).due_in_seconds <= 0 < head.due_in_seconds

    def _type_here(self, name: str) -> MessageType | None:
        """Return the type if its tasks come here; it may have been declared after the relay was made."""
        task_type = self._types.get(name)
        return task_type if task_type is not None and task_type.destination == self._destination else None

    def _is_ordered_here(self, name: str) -> bool:
        task_type = self._type_here(name)
        return task_type is not None and task_type.ordered

    def _any_is_ordered(self) -> bool:
        return any(map(self._is_ordered_here, self._types))

    def _seconds_closed(self, name: str, epochs: Mapping[int, int]) -> float:
        """Return 0 if tasks of the type may go now, or how long they may not.

        It is switched off, its topic is away, or its rate is spent.
        """
        task_type = self._types[name]
        if not task_type.enabled:
            return LONG_SECONDS
        wait = self._breakers.seconds_until_probe(task_type.topic)
        if wait == 0 and task_type.rate_limit_per_second is not None and self._allowance(task_type, epochs) < 1:
            return max(0.001, self._limit_of(name).seconds_until_next(self._rate(task_type, epochs)))
        return wait

    def _keys_are_due(self, epochs: Mapping[int, int]) -> bool:
        if not self._any_is_ordered():
            return False
        closed = partial(self._seconds_closed, epochs=epochs)
        return self.parking.is_stale(epochs) or self.parking.seconds_until_due(closed) == 0

    def _seconds_until_due(self, heads: Iterable[Head], epochs: Mapping[int, int]) -> float:
        waits = [max(head.due_in_seconds, self._seconds_closed(head.task_type, epochs)) for head in heads]
        return min([*waits, self.parking.seconds_until_due(partial(self._seconds_closed, epochs=epochs))])

    # -- reading -----------------------------------------------------------------------------------------

    def _read(self, due: list[Head], held: list[Head], places: int, epochs: Mapping[int, int]) -> Round:
        """Read of the ``due`` heads; ``held`` are those in hand, and there are ``places`` of both."""
        began = time.perf_counter()
        most = 1 if self._breakers.is_probing else min(MOST_PAGES, self._size.rows)
        if self._streams and self._database.dialect.locks_rows:
            most = min(most, -(-places // 2))
        served = self._turns.next(due, most)
        limit = max(1, (1 if self._breakers.is_probing else self._size.rows) // max(1, len(served)))
        plan = self._priorities.plan(served, limit, due, held)
        if self.locked:
            plan = plan.reading_further(self.locked.most_in(plan.lanes))
        found = self._database.run(lambda connection: self._read_rows(connection, plan, due, epochs))
        rows = [*found.tasks, *found.met, *found.beyond_shares()]
        self._size.observe(len(rows), found.left_bytes + _bytes(rows))
        self._streams = found.read >= plan.rows > 1
        if self._streams:
            self._recent.move(self._priorities.moved(plan))
        else:
            self._recent.forget()
        found.leaves_others = len(plan.portions) < places
        found.tasks = self._within_limits(found.tasks, epochs)
        if rows:
            seconds = time.perf_counter() - began
            self._hooks.emit(PageFetched(self._destination, len(plan.portions), len(rows), seconds))
        return found

    def _read_rows(self, connection: Connection, plan: RoundPlan, due: list[Head], epochs: Mapping[int, int]) -> Round:
        rows = queries.read_pages(connection, self._outbox.tasks, plan.heads, plan.limits) if plan.portions else Pages()
        tasks = self._priorities.take(rows, plan)
        found = Round(read=len(rows), left_bytes=_bytes(rows) - _bytes(tasks) if len(tasks) < len(rows) else 0)
        self._statistics.after_reading(connection, len(rows))
        tasks += self._newest_behind_retries(connection, due, tasks, plan)
        self._remember_crowded(plan, rows)
        if self.locked:
            tasks = [task for task in tasks if task not in self.locked]
        found.tasks = tasks = with_retries_in_force(tasks, self._types)
        if not self._any_is_ordered():
            return found
        self.parking.learn(connection, epochs)
        met = [task for task in tasks if self.parking.is_parked(task)]
        free = [task for task in tasks if not self.parking.is_parked(task)] if met else tasks
        # After the pages: so a row that stands in them is seen here, too, and its key not released over its head.
        in_the_way = self._in_the_way(connection, met, plan.limit)
        most_keys = _MOST_KEYS
        if self._breakers.is_probing:
            most_keys = 1 if self._probes_a_key or not free else 0
        limit_of = partial(self._most_of, has_neighbours=bool(free), in_the_way={key_of(task) for task in in_the_way})
        key_pages = self.parking.read_due(connection, most_keys, limit_of, partial(self._may_go, epochs=epochs))
        key_pages = {
            key: page._replace(tasks=with_retries_in_force(page.tasks, self._types)) for key, page in key_pages.items()
        }
        by_key = [task for page in key_pages.values() for task in page.tasks]
        if self._breakers.is_probing:
            self._probes_a_key = not by_key
            free = [] if by_key else free
        firsts, found.surplus = self._within_shares(free, plan.limit, _full_pages(tasks, plan.limit))
        found.tasks, found.key_pages, found.met = [*firsts, *by_key], key_pages, _without(met, by_key)
        found.in_the_way = _without(in_the_way, (*by_key, *found.met))
        return found

    def _newest_behind_retries(
        self, connection: Connection, due: list[Head], taken: list[Task], plan: RoundPlan
    ) -> list[Task]:
        """Read fresh rows past a crowd of retries that are due, so that a failing many hold up no newcomer.

        Of all lanes of such a type in turn: the retries of others may be earlier for long.
        """
        crowded = {head.task_type for head in due if (head.task_type, head.shard) in self._crowded}
        if not crowded:
            return []
        lanes = self._newest_turns.next(in_no_order(due, crowded), len(plan.portions))
        seen = {task.raw_id for task in taken}
        newest = queries.read_pages(connection, self._outbox.tasks, lanes, plan.limit, newest=True)
        return [task for task in newest if task.raw_id not in seen]

    def _remember_crowded(self, plan: RoundPlan, rows: list[Task]) -> None:
        retries = Counter((task.task_type, task.shard) for task in rows if task.retry_count)
        for head, _, limit in plan.portions:
            lane = (head.task_type, head.shard)
            is_crowded = retries[lane] * 2 > limit and not self._types[head.task_type].ordered
            (self._crowded.add if is_crowded else self._crowded.discard)(lane)

    def _within_shares(self, tasks: list[Task], limit: int, full: Set[Lane]) -> tuple[list[Task], dict[Key, Surplus]]:
        """Return the tasks without those of an ordered key beyond its share, and the keys that so fill a page.

        In a page that is not full nobody waits behind them: they are left for a later round.
        """
        kept: list[Task] = []
        of_keys: dict[Key, Surplus] = {}
        for task in tasks:
            if not self._outbox.task_types[task.task_type].ordered:
                kept.append(task)
                continue
            rows = of_keys.setdefault(Key(task.task_type, task.key or ""), Surplus([], []))
            fills = (task.task_type, task.shard) in full
            if len(rows.within) < (_share_of_a_key(limit) if fills else _MOST_OF_A_KEY):
                rows.within.append(task)
                kept.append(task)
            elif fills:
                rows.beyond.append(task)
        return kept, {key: rows for key, rows in of_keys.items() if rows.beyond}

    def _may_go(self, key: Key, epochs: Mapping[int, int]) -> bool:
        """Tell whether tasks of a parked key may go now."""
        return not self.locked.has_key(key) and self._seconds_closed(key.task_type, epochs) == 0

    def _most_of(self, key: Key, has_neighbours: bool, in_the_way: Container[Key]) -> int:
        """Return how many rows of a parked key that is due are read in a round."""
        if self._breakers.is_probing or key in in_the_way:
            return 1  # what stands behind a key that is in the way has waited long enough
        return _MOST_OF_A_KEY if has_neighbours else _MOST_OF_A_LONE_KEY

    def _in_the_way(self, connection: Connection, met: list[Task], limit: int) -> list[Task]:
        """Read further rows of the parked key that fills most of some page."""
        met_of_keys = Counter(Key(task.task_type, task.key or "") for task in met)
        for key, count in met_of_keys.most_common(1):
            if count > _share_of_a_key(limit):
                return self.parking.read_in_the_way(connection, key, _MOST_IN_THE_WAY)
        return []

    # -- rate limits and probes --------------------------------------------------------------------------

    def _within_limits(self, tasks: list[Task], epochs: Mapping[int, int]) -> list[Task]:
        """Leave what is beyond its type's rate or limit, and all but one of a topic that is only probed."""
        allowed: dict[str, int] = {}
        for name in {task.task_type for task in tasks}:
            task_type = self._types[name]
            if self._breakers.is_probing_topic(task_type.topic):
                allowed[name] = 1
            elif task_type.rate_limit_per_second is not None:
                allowed[name] = self._allowance(task_type, epochs)
            if task_type.limit is not None:
                allowed[name] = min(task_type.limit, allowed.get(name, task_type.limit))
        if not allowed:
            return tasks
        tasks = self._alternation.mix(tasks, allowed, self.parking.is_parked)
        return [task for task in tasks if self._spend(task.task_type, allowed)]

    def _spend(self, name: str, allowed: dict[str, int]) -> bool:
        left = allowed.get(name)
        if left is None:
            return True
        allowed[name] = left - 1
        if left > 0 and name in self._limits:
            self._limits[name].take(1)
        return left > 0

    def _allowance(self, task_type: MessageType, epochs: Mapping[int, int]) -> int:
        return self._limit_of(task_type.name).allowance(self._rate(task_type, epochs))

    def _limit_of(self, name: str) -> RateLimit:
        return self._limits.setdefault(name, RateLimit())

    def _rate(self, task_type: MessageType, epochs: Mapping[int, int]) -> float:
        """Return this instance's part of the type's rate: as much as it has of the shards."""
        assert task_type.rate_limit_per_second is not None
        return task_type.rate_limit_per_second * len(epochs) / self._outbox.shard_count


def _share_of_a_key(limit: int) -> int:
    """Return how many rows of a full page one key may have."""
    return min(_MOST_OF_A_KEY, max(1, limit // 2))


def _full_pages(tasks: Iterable[Task], limit: int) -> set[Lane]:
    counts = Counter((task.task_type, task.shard) for task in tasks)
    return {lane for lane, count in counts.items() if count >= limit}


def _without(tasks: list[Task], others: Iterable[Task]) -> list[Task]:
    known = {task.raw_id for task in others}
    return [task for task in tasks if task.raw_id not in known]


def _bytes(tasks: Iterable[Task]) -> int:
    return sum(len(task.payload or b"") for task in tasks)
