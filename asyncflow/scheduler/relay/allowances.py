"""How much of each task type may go now: rates, limits, and topics of which one message is let through."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from operator import attrgetter

from asyncflow.outbox import Task
from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.scheduler.configuration.types_here import TypesHere
from asyncflow.scheduler.loops.pause import LONG_SECONDS
from asyncflow.scheduler.publishing.alternation import Alternation
from asyncflow.scheduler.publishing.breakers import Breakers
from asyncflow.scheduler.publishing.rate_limit import RateLimit

_LATELY_SECONDS = 10.0
_SHORTEST_WAIT_SECONDS = 0.001  # for the next one of a rate
_type_of = attrgetter("task_type")  # a getter in C takes a fifth of what an expression takes, for each row


class Allowances:
    """Tell what may go to one destination; lives as long as its relay, used by its thread alone.

    A rate is that of all instances together: the part of one with these shards is as much as it has of all.
    """

    def __init__(self, types: TypesHere, breakers: Breakers, shard_count: int) -> None:
        self._types = types
        self._breakers = breakers
        self._shard_count = shard_count
        self._limits: dict[str, RateLimit] = {}
        self._alternation = Alternation()
        self._spent_until: dict[str, float] = {}  # on the monotonic clock; types whose rate let them wait

    def seconds_closed(self, names: Iterable[str], shards: Collection[int]) -> dict[str, float]:
        """Return of each type how many seconds none of its tasks in these shards may go, as ``closed_for`` tells it."""
        return {name: self._seconds_closed(name, shards) for name in names}

    def closed_for(self, shards: Collection[int]) -> Callable[[str], float]:
        """Return what tells of a type's name how many seconds none of its tasks in these shards may go.

        0: they may. It is switched off, its topic is away, or its rate is spent.
        """
        return partial(self._seconds_closed, shards=shards)

    def _seconds_closed(self, name: str, shards: Collection[int]) -> float:
        task_type = self._types.here[name]
        if not task_type.enabled:
            return LONG_SECONDS
        wait = self._breakers.seconds_until_probe(task_type.topic)
        rate = self.rate(task_type, shards)
        if wait == 0 and rate is not None and self._limit_of(name).allowance(rate) < 1:
            wait = max(_SHORTEST_WAIT_SECONDS, self._limit_of(name).seconds_until_next(rate))
            self._spent_until[name] = time.monotonic() + wait
        return wait

    def lets_all(self, name: str, shards: Collection[int]) -> bool:
        """Tell whether any number of a type's tasks in these shards may go now."""
        return self._seconds_closed(name, shards) == 0 and self._most(name, shards) is None

    def within(self, tasks: list[Task], shards: Collection[int], is_parked: Callable[[Task], bool]) -> list[Task]:
        """Leave what is beyond its type's rate or limit, and all but one of a topic that is only probed."""
        mosts = {name: self._most(name, shards) for name in set(map(_type_of, tasks))}
        allowed = {name: most for name, most in mosts.items() if most is not None}
        if not allowed:
            return tasks
        tasks = self._alternation.mix(tasks, allowed, is_parked)
        return [task for task in tasks if self._spend(task.task_type, allowed)]

    def rate(self, task_type: MessageType, shards: Collection[int]) -> float | None:
        """Return this instance's part of the type's rate, a second; None if it has none."""
        per_second = task_type.rate_limit_per_second
        return None if per_second is None else per_second * len(shards) / self._shard_count

    def spent(self) -> list[str]:
        """Return the types that wait for their rate, or did a moment ago; any thread may ask."""
        earliest = time.monotonic() - _LATELY_SECONDS
        return [name for name, until in list(self._spent_until.items()) if until > earliest]

    def _most(self, name: str, shards: Collection[int]) -> int | None:
        """Return how many of a type may go; None: as many as there are."""
        task_type, most = self._types.here[name], None
        if self._breakers.is_probing_topic(task_type.topic):
            most = 1
        elif (rate := self.rate(task_type, shards)) is not None:
            most = self._limit_of(name).allowance(rate)
        return min((one for one in (most, task_type.limit) if one is not None), default=None)

    def _spend(self, name: str, allowed: dict[str, int]) -> bool:
        left = allowed.get(name)
        if left is None:
            return True
        allowed[name] = left - 1
        if left > 0 and name in self._limits:
            self._limits[name].take(1)
        return left > 0

    def _limit_of(self, name: str) -> RateLimit:
        return self._limits.setdefault(name, RateLimit())
