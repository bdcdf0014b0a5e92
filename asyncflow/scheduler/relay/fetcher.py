"""What a relay takes next: due rows of its destination, shared fairly among types, shards, retries and fresh rows."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence, Set
from functools import partial

from sqlalchemy import Connection

from asyncflow.events import PageFetched
from asyncflow.outbox.status import Status
from asyncflow.scheduler.cluster.share import Hold
from asyncflow.scheduler.heads.lookout import Lookout
from asyncflow.scheduler.heads.parts import HeadParts
from asyncflow.scheduler.heads.priorities import Priorities, RoundPlan
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head, Lane
from asyncflow.scheduler.heads.recent_heads import RecentHeads
from asyncflow.scheduler.heads.turns import Turns
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.loops.pause import LONG_SECONDS
from asyncflow.scheduler.publishing.publisher import Outcome
from asyncflow.scheduler.publishing.route import Route
from asyncflow.scheduler.relay.allowances import Allowances
from asyncflow.scheduler.relay.key_reader import MOST_OF_A_CROWD, KeyReader
from asyncflow.scheduler.relay.page_reader import PageReader
from asyncflow.scheduler.relay.round import Filled, Round, RoundSize
from asyncflow.scheduler.relay.shared import Shared
from asyncflow.scheduler.relay.type_walk import TypeWalk
from asyncflow.scheduler.table.queries import MOST_AHEAD

_LOOK_PAST_LOCKED_SECONDS = 0.1
_LEAST_OF_MANY = 2  # rows of each of many lanes: a lane is not found for one alone
_NEARLY_ALL = 0.75  # of the rows that pages might have held: most of these ended before
_A_FEW_MORE = 1.125  # times as many lanes as are to be read, for the others are no round


class Fetcher:
    """Fetch rounds for one destination; lives as long as its relay, used by its thread alone."""

    def __init__(self, instance: Instance, route: Route, shared: Shared, lookout: Lookout) -> None:
        outbox, settings = instance.outbox, instance.settings
        self._tasks = outbox.tasks
        self._route = route
        self._types = shared.types
        self._database = shared.database
        self._locked = shared.locked
        self._hooks = instance.hooks
        # Two rounds can be in hand.
        self._size = RoundSize(settings.round_size, max(1, settings.round_bytes // 2))
        self._streams = False
        parts = HeadParts(self._database.run, self._tasks, Status.PENDING, outbox.shard_count)
        self._recent = RecentHeads(
            lambda lanes: lookout.seen_by(partial(parts.next, lanes)), lets_rest=lambda: lookout.lets_rest
        )
        self._walk = TypeWalk(self._tasks, self._database, self._types, parts, outbox.shard_count)
        self._half_a_type = outbox.shard_count // 2  # lanes: as parts hold whole types, of the last it is so much
        self._turns = Turns()
        self._priorities = Priorities(self._types.ordered.__contains__)
        self.allowances = Allowances(self._types, route.breakers, outbox.shard_count)
        self._pages = PageReader(self._tasks, shared, self._priorities, lookout.database_now)
        self._keys = KeyReader(self._tasks, shared, route.breakers, self.allowances)

    def fetch(self, hold: Hold, in_hand: Set[Lane] = frozenset()) -> Round:
        """Read the next round of the shards that are held, without the lanes ``in_hand``.

        Of a backlog it takes half of the lanes, so that the next round finds others while this one is settled; of a
        part of very many all that it may.
        """
        if not hold.epochs:
            return Round(hold)
        self._types.look()
        if remembered := self._recent.remembered():
            found = self._fetch(remembered, hold, in_hand)
            if found.read or found:  # what was read and not taken comes after what is in hand
                return found
        if (whole := self._fetch_whole(hold, in_hand)) is not None:
            return whole
        found, wait = Round(hold), LONG_SECONDS
        for heads in self._recent.looks():
            found = self._fetch(heads, hold, in_hand)
            if found.read or found:
                return found
            wait = min(wait, found.wait_seconds)
        # Parked keys need no search.
        if self._types.ordered and self._recent.rest_seconds and self._keys.are_due(hold.epochs):
            found = self._fetch((), hold, in_hand)
            if found.read or found:
                return found
        found.wait_seconds = wait if self._recent.is_whole else min(wait, self._recent.rest_seconds)
        return found

    @property
    def most_rows(self) -> int:
        """Return how many rows a round may read at present, as large as they are."""
        return self._size.rows

    def observe(self, found: Round, outcomes: Sequence[Outcome | None], seconds_a_wave: float | None) -> None:
        """Take in what became of a round's tasks, and how long a wave after the first took, if there was one."""
        if self._types.ordered:
            self._keys.observe(found, outcomes, seconds_a_wave)

    def _fetch(self, seen: Sequence[Head], hold: Hold, in_hand: Set[Lane]) -> Round:
        here, ordered, owned = self._types.here, self._types.ordered, hold.epochs
        mine = [
            by_turn(head) if head.task_type in ordered else head
            for head in seen
            if head.shard in owned and head.task_type in here
        ]
        heads = [head for head in mine if (head.task_type, head.shard) not in in_hand] if in_hand else mine
        closed = self.allowances.seconds_closed({head.task_type for head in heads}, owned)
        open_heads = [head for head in heads if head.due_in_seconds <= 0 and closed[head.task_type] == 0]
        due = self._priorities.frontiers(open_heads) if open_heads else []
        in_hand_heads = [head for head in mine if (head.task_type, head.shard) in in_hand] if in_hand else []
        held = self._priorities.frontiers(in_hand_heads) if in_hand_heads else []
        is_due = bool(due or (ordered and self._keys.are_due(owned)))
        found = self._read(due, held, len(due) + len(in_hand), hold) if is_due else Round(hold)
        if found.read and not self._recent.is_whole:
            self._recent.expect(self._half_a_type + self._size.lanes * len(seen) // (len(due) + len(held)))
        if not found.tasks:
            self._foresee(found, heads)
        return found

    def _foresee(self, found: Round, heads: Sequence[Head]) -> None:
        """Note in a round without tasks how soon there may be some."""
        found.wait_seconds = self._seconds_until_due(heads, found.hold.epochs)
        if self._locked.parts:
            found.wait_seconds = max(_LOOK_PAST_LOCKED_SECONDS, found.wait_seconds)  # they look as if they were due

    def _fetch_whole(self, hold: Hold, in_hand: Set[Lane]) -> Round | None:
        """Read the next types whole, if there are very many lanes; None: by their lanes."""
        if self._recent.is_whole or self._route.breakers.is_probing or self._locked.parts:
            return None
        began, owned = time.perf_counter(), hold.epochs
        most = self._route.takes(self._size.rows)
        whole = self._walk.read(most, list(owned), in_hand, lambda names: self.allowances.seconds_closed(names, owned))
        if whole is None:
            return None
        found = self._pages.round_of(whole, hold)
        if self._types.ordered:
            self._database.run(lambda connection: self._keys.read(connection, found, most // len(whole.taken)))
        self._priorities.forget(whole.taken)
        rows = self._size.observe_round(found, None)
        found.leaves_others = True
        found.tasks = self.allowances.within(found.tasks, owned, self._keys.is_parked)
        self._hooks.emit(PageFetched(self._route.destination, len(whole.taken), rows, time.perf_counter() - began))
        return found

    # -- what is due -------------------------------------------------------------------------------------

    def is_ahead(self, head: Head) -> bool:
        """Tell, on any thread, whether the first row is due though the clock is not there yet."""
        return self._types.is_ordered(head.task_type) and by_turn(head).due_in_seconds <= 0 < head.due_in_seconds

    def _seconds_until_due(self, heads: Sequence[Head], shards: Collection[int]) -> float:
        closed = self.allowances.seconds_closed({head.task_type for head in heads}, shards)
        waits = [max(head.due_in_seconds, closed[head.task_type]) for head in heads]
        return min([*waits, self._keys.seconds_until_due(shards)])

    # -- reading -----------------------------------------------------------------------------------------

    def _read(self, due: list[Head], held: list[Head], places: int, hold: Hold) -> Round:
        """Read of the ``due`` heads; ``held`` are those in hand, and there are ``places`` of both."""
        began = time.perf_counter()
        plan = self._plan(due, held, places)
        found = self._database.run(lambda connection: self._read_rows(connection, plan, due, hold))
        wanted = sum(portion.rows for portion in plan.portions)
        room = sum(portion.limit for portion in plan.portions)
        filled = Filled(len(plan.portions), found.read, wanted, room)
        rows = self._size.observe_round(found, filled if self._tells_of_others(filled, len(due)) else None)
        if not self._recent.is_whole and self._recent.is_fresh:
            self._observe_part(filled, due, hold)
        self._streams = found.read >= wanted > 1
        if self._streams or not self._recent.is_whole:  # of a part, for the others wait
            self._recent.move(self._priorities.moved(plan))
        else:
            self._recent.forget()
        found.leaves_others = len(plan.portions) < places or not self._recent.is_whole
        found.tasks = self.allowances.within(found.tasks, hold.epochs, self._keys.is_parked)
        if rows:
            seconds = time.perf_counter() - began
            self._hooks.emit(PageFetched(self._route.destination, len(plan.portions), rows, seconds))
        return found

    def _observe_part(self, filled: Filled, due: Sequence[Head], hold: Hold) -> None:
        """Note whether types behind a part are to be read whole, if they are like those in it."""
        if filled.rows and filled.rows < filled.room * _NEARLY_ALL:
            self._walk.observe_lanes(due, filled.lanes, filled.rows, len(hold.epochs))
        else:
            self._walk.stop()  # for nobody knows how many rows there are

    def _tells_of_others(self, filled: Filled, due: int) -> bool:
        """Tell whether lanes that come later are like these; what is left of a part was read from, and is thinner."""
        is_of_rest = not self._recent.is_whole and not self._recent.is_fresh and 2 * filled.lanes > due
        return not is_of_rest or filled.rows >= filled.wanted

    def _plan(self, due: list[Head], held: list[Head], places: int) -> RoundPlan:
        """Deal the round out: a page each to those whose turn it is."""
        rows = 1 if self._route.breakers.is_probing else self._route.takes(self._size.rows)
        most = min(self._size.lanes, max(min(rows, MOST_PAGES), rows // _LEAST_OF_MANY))
        if most > MOST_PAGES and len(due) <= most * _A_FEW_MORE:
            most = len(due)
        if self._streams and self._recent.is_whole and self._database.dialect.locks_rows:  # else the others are others
            most = min(most, -(-places // 2))
        served = self._turns.next(due, most)
        plan = self._priorities.plan(served, rows, due, held)
        if self._keys.crowded:
            plan = plan.reading_no_more(MOST_OF_A_CROWD, self._keys.crowded)
        return plan.reading_further(self._locked.count_in) if self._locked.parts else plan

    def _read_rows(self, connection: Connection, plan: RoundPlan, due: list[Head], hold: Hold) -> Round:
        found = self._pages.read(connection, plan, due, hold)
        if self._types.ordered:
            self._keys.read(connection, found, plan.limit)
        return found


def by_turn(head: Head) -> Head:
    """Let no row of an ordered type wait for a clock that was set back: all are due that are not set aside."""
    ahead = MOST_AHEAD.total_seconds()
    return head._replace(due_in_seconds=head.due_in_seconds - ahead, ahead_seconds=ahead)
