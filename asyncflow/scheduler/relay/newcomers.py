"""Newcomers: what is committed while the waves of a hot key go on joins them, and does not wait for the round's end."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence, Set
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection

from asyncflow.events import PageFetched, StepFailed
from asyncflow.outbox import Task
from asyncflow.outbox.status import Status
from asyncflow.scheduler.configuration.types_in_force import with_retries_in_force
from asyncflow.scheduler.heads import queries
from asyncflow.scheduler.heads.queries import MOST_PAGES, Lane, Pages
from asyncflow.scheduler.heads.waits import DueMoments
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.publishing.order import Key, is_in_order, key_of
from asyncflow.scheduler.publishing.route import Route
from asyncflow.scheduler.publishing.waves import Waves
from asyncflow.scheduler.relay.allowances import Allowances
from asyncflow.scheduler.relay.fetcher import by_turn
from asyncflow.scheduler.relay.keys.parking_change import lane_of
from asyncflow.scheduler.relay.round import Round
from asyncflow.scheduler.relay.shared import Shared
from asyncflow.scheduler.scope import Scope

_MOST_TYPES = 8  # looked at between two waves
_MOST_ROWS = 64  # of a lane that join at once
_MOST_IN_HAND = 256  # rows of a lane that are read past
_LEAST_PAUSE_SECONDS = 0.005
_PAUSE_AFTER_LOOK = 3.0  # times as long as it took: the waves are what the round is for
_COMMIT_SECONDS = 0.005  # a commit may be announced just before it happens
_UNANNOUNCED_SECONDS = 0.04  # others commit in other processes


class Newcomers:
    """Look between two waves of a round who may go along; lives as long as its relay.

    Its thread alone uses it, but for ``expect``, which any thread may call.

    A round with a hot key lasts as long as that has rows. Who joins is of no key that waits in the round or is read by
    itself: what stands ahead of it in its page was sent in the round, or joins with it. So nothing is passed.
    """

    def __init__(self, instance: Instance, route: Route, shared: Shared, scope: Scope, allowances: Allowances) -> None:
        self._tasks = instance.outbox.tasks
        self._shard_count = instance.outbox.shard_count
        self._hooks = instance.hooks
        self._destination = route.destination
        self._types = shared.types
        self._database = shared.database
        self._parking = shared.parking
        self._locked = shared.locked
        self._database_now = scope.lookout.database_now
        self._allowances = allowances
        self._announced: deque[tuple[float, Set[str]]] = deque(maxlen=64)
        self._looked_at = 0.0
        self._next_look_at = 0.0
        self._most_rows = self._most_tasks = 0

    def expect(self, task_types: Set[str]) -> None:
        """Know that tasks of these types were committed, or are about to be."""
        self._announced.append((time.monotonic(), task_types))

    def joining(self, found: Round, unsettled: Set[Lane], most: int) -> Callable[[Waves], Sequence[Task]]:
        """Return what tells between two waves who joins the round.

        ``unsettled`` are lanes of which rows stand as pending that an earlier round has sent. About ``most`` rows join,
        as many as a round may read.
        """
        self._most_rows, self._most_tasks = most, len(found.tasks) + most
        self._looked_at = time.monotonic()
        self._next_look_at = self._looked_at + _LEAST_PAUSE_SECONDS
        return partial(self._join, found, unsettled)

    def _join(self, found: Round, unsettled: Set[Lane], waves: Waves) -> Sequence[Task]:
        """Read who joins the round, and add them to its tasks."""
        began = time.monotonic()
        is_time = began >= self._next_look_at and len(found.tasks) < self._most_tasks
        names = self._names(began, found) if is_time else None
        if not names:
            return []
        in_hand = _RoundInHand.of(found, unsettled)
        try:
            rows = self._database.run(partial(self._read, in_hand=in_hand, names=names))
        except Exception as error:  # noqa: BLE001 - what was sent of the round is settled all the same
            self._next_look_at = float("inf")
            self._hooks.emit(StepFailed(f"relay-{self._destination}", error, 0.0))
            return []
        now = time.monotonic()
        self._looked_at, self._next_look_at = began, now + max(_LEAST_PAUSE_SECONDS, _PAUSE_AFTER_LOOK * (now - began))
        tasks = self._who_may(rows, in_hand, waves)
        if tasks:
            found.join(tasks, DueMoments(rows.parts, self._database_now(), found.due_times))
            lanes = set(map(lane_of, tasks))
            self._hooks.emit(PageFetched(self._destination, len(lanes), len(tasks), now - began))
        return tasks

    def _names(self, now: float, found: Round) -> set[str]:
        """Return the types of which there may be somebody."""
        names = {key.task_type for key in found.key_pages} if now - self._looked_at > _UNANNOUNCED_SECONDS else set()
        for at, task_types in tuple(self._announced):
            names |= task_types
            if now - at > _COMMIT_SECONDS:
                self._announced.popleft()
        names &= self._types.here.keys() - self._types.coalescing
        names = {name for name in names if self._allowances.lets_all(name, found.hold.epochs)}
        return names if len(names) <= _MOST_TYPES else set()

    # -- reading -----------------------------------------------------------------------------------------

    def _read(self, connection: Connection, in_hand: _RoundInHand, names: Collection[str]) -> Pages:
        """Read the pages of these types in which somebody stands."""
        heads = queries.read_heads_among(connection, self._tasks, Status.PENDING, names, self._shard_count)
        heads = [by_turn(head) if head.task_type in self._types.ordered else head for head in heads]
        due = [head for head in heads if head.due_in_seconds <= 0 and in_hand.lets_read((head.task_type, head.shard))]
        if not due:
            return Pages()
        due = due[: min(MOST_PAGES, self._most_rows)]
        share = min(_MOST_ROWS, self._most_rows // len(due))
        limits = [in_hand.counts[head.task_type, head.shard] + share for head in due]
        return queries.read_pages(connection, self._tasks, due, limits)

    def _who_may(self, rows: Pages, in_hand: _RoundInHand, waves: Waves) -> list[Task]:
        """Return those of whose keys nobody waits ahead, and no more of a key than waves are left."""
        tasks: list[Task] = []
        counts = Counter[Key]()
        timed = sorted(zip(rows, rows.moments, strict=True), key=lambda row: (row[1], row[0].raw_id))
        for task, _ in timed:
            if task.raw_id in in_hand.ids or self._locked.has_row(task.raw_id):
                continue
            if is_in_order(task, self._types.ordered):
                key = key_of(task)
                if counts[key] == waves.left or not self._lets_join(key, in_hand, waves):
                    continue
                counts[key] += 1
            tasks.append(task)
        return with_retries_in_force(tasks, self._types.configured)

    def _lets_join(self, key: Key, in_hand: _RoundInHand, waves: Waves) -> bool:
        waits = self._parking.knows(key) or self._locked.has_key(key) or key in in_hand.keys
        return not waits and waves.lets_join(key)


class _RoundInHand(NamedTuple):
    """Hold what a round has in hand: ids of rows, how many of them stand in each page, and keys that wait in it.

    ``closed`` are lanes that it does not look into, and ``shards`` those that it holds: others are another instance's.
    """

    ids: set[Any]
    counts: Counter[Lane]
    keys: set[Key]
    closed: Set[Lane]
    shards: Set[int]

    @classmethod
    def of(cls, found: Round, unsettled: Set[Lane]) -> _RoundInHand:
        waiting = list(chain(found.met, found.beyond_shares(), *found.not_sent.rows(), found.behind))
        in_pages = [task for task in found.tasks if key_of(task) not in found.key_pages]
        ids = {task.raw_id for task in chain(found.tasks, waiting, found.in_the_way)}
        keys = {*map(key_of, waiting), *found.surplus, *found.key_pages}
        return cls(
            ids, Counter(map(lane_of, chain(in_pages, waiting, found.in_the_way))), keys, unsettled, found.shards()
        )

    def lets_read(self, lane: Lane) -> bool:
        """Tell whether somebody may be found in a lane without reading past very many."""
        return lane[1] in self.shards and lane not in self.closed and self.counts[lane] <= _MOST_IN_HAND
