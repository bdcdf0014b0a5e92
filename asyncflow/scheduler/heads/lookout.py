"""The lookout: what is pending and where, for loops that rest, by a statement that is sent anyway.

A loop that has found nothing for a while asks the database no more. The registry's look at the other instances
brings the heads of all task types along, in the same statement, and whoever has something due is woken. What a loop
at work sees, the others need not look at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from asyncflow.outbox.status import UNSETTLED, Status
from asyncflow.scheduler.heads.parts import MOST_LANES, Part
from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.heads.unknown_types import UnknownTypes

_IDLE_SECONDS = 0.6  # without work, before a loop rests
_LONGEST_TICK_SECONDS = 5.0
_MANY_FOR_SECONDS = 10.0  # that there are too many lanes is believed


class Lookout:
    """Keep the rests of one scheduler's loops; lives as long as the scheduler, any thread may call.

    Loops rest only where ticks are about as frequent as heartbeats, so that nobody looks less often than it was told
    to, nor more often.

    Without a lock, for a rest is only ever ended wrongly: a loop that looks once too often loses nothing. What ends one
    counts ``calls``, or its own ends, on any thread; a loop notes both before it looks, and begins to rest only if both
    are as they were. Of two that count at once one may be lost: what it announced was there before the other one
    counted, so whoever notes that number and then looks sees it.
    """

    def __init__(
        self,
        tick: float | str,
        heartbeat_seconds: float,
        unknown_types: UnknownTypes,
        owned: Callable[[], Container[int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        is_even = not isinstance(tick, str) and heartbeat_seconds <= tick <= _LONGEST_TICK_SECONDS
        self.fresh_seconds = float(tick) if is_even and not isinstance(tick, str) else 0.0
        self.clock = clock
        self.calls = 0  # how often rests were ended from outside
        self.lets_rest = True
        self._owned = owned  # the shards whose heads concern us
        self._unknown_types = unknown_types
        self._rests: list[Rest] = []
        self._looked_at = dict.fromkeys(UNSETTLED, float("-inf"))
        self._ahead: float | None = None  # the database's time of our clock's; each look tells it anew
        self._are_many_until = dict.fromkeys(UNSETTLED, float("-inf"))  # more lanes than a look brings along

    def wanted(self) -> tuple[Status, ...]:
        """Return the statuses of which a loop that rests wants to know the heads, and nobody looked a moment ago.

        None of which there are too many to be brought along: then loops do not rest, and look at parts. What is
        PROCESSING only where all rest: under load that look walks over much that is settled already, and the monitor,
        which alone wants it, is content with one of its own now and then.
        """
        statuses = UNSETTLED if all(rest.is_on for rest in self._rests) else (Status.PENDING,)
        resting = {rest.status for rest in self._rests if rest.is_on}
        wanted = [one for one in statuses if one in resting and self._age(one) >= self.fresh_seconds / 2]
        return tuple(one for one in wanted if self.clock() >= self._are_many_until[one])

    def is_fresh(self, status: Status) -> bool:
        """Tell whether the last look at a status is no older than a tick."""
        return self._age(status) < self.fresh_seconds

    def seen_by(self, look: Callable[[], Part]) -> Part:
        """Let a loop that is at work look at what is PENDING, and know what it saw."""
        looked_at = self.clock()
        part = look()
        if part.is_whole:
            self.take_in(Status.PENDING, part.heads, looked_at)
        else:
            self._note_clock(part.heads, looked_at)
            self._note_many(Status.PENDING, part.heads)
        return part

    def database_now(self) -> float | None:
        """Return the database's time, in seconds since 1970, as far as looks have told it; None before the first."""
        return None if self._ahead is None else self.clock() + self._ahead

    def rest_for(
        self,
        wants: Callable[[Head], bool],
        status: Status = Status.PENDING,
        *,
        wake: Callable[[], None] = lambda: None,
        is_ahead: Callable[[Head], bool] = lambda _: False,
    ) -> Rest:
        """Return the rest of a loop, which does not rest yet; it concerns the heads that ``wants`` accepts.

        ``wake`` wakes the loop, on the lookout's thread. ``is_ahead`` tells whether a head may be due before its time.
        """
        rest = Rest(self, Concern(wants, status, is_ahead), wake)
        self._rests.append(rest)
        return rest

    @contextmanager
    def without_rest(self) -> Iterator[None]:
        """Let no loop rest meanwhile: whoever finds nothing knows that nothing is due, in whatever lane."""
        self.lets_rest = False
        self.disturb()
        try:
            yield
        finally:
            self.lets_rest = True

    def look_for_nobody(self) -> None:
        """Have the heads brought along though no loop would look: somebody must tell of the types that wait."""
        self.rest_for(lambda _: False).begin()

    def disturb(self) -> None:
        """End all rests: a commit was announced, or other shards are owned."""
        self.calls += 1

    def take_in(self, status: Status, heads: Sequence[Head], looked_at: float) -> None:
        """Know the heads of a status as the database had them at ``looked_at``, and wake whoever has one due.

        More than MOST_LANES are not all of them.
        """
        self._note_clock(heads, looked_at)
        if len(heads) > MOST_LANES:
            self._note_many(status, heads)
            return
        self._looked_at[status] = looked_at
        self._wake_for(status, heads)

    def _note_clock(self, heads: Sequence[Head], looked_at: float) -> None:
        """Learn the database's time: the first row's own, less what it is away from now."""
        for head in heads[:1]:
            self._ahead = head.moment / 1e6 - head.due_in_seconds - (looked_at + self.clock()) / 2

    def _note_many(self, status: Status, heads: Sequence[Head]) -> None:
        self._are_many_until[status] = self.clock() + _MANY_FOR_SECONDS
        self._wake_for(status, heads)

    def _wake_for(self, status: Status, heads: Sequence[Head]) -> None:
        owned = self._owned()
        mine = [head for head in heads if head.shard in owned]
        if status is Status.PENDING:
            self._unknown_types.notice(dict.fromkeys([head.task_type for head in mine]))
        for rest in self._rests:
            if rest.is_on and rest.status is status and any(rest.has_due(head) for head in mine):
                rest.end()
                rest.wake()

    def _age(self, status: Status) -> float:
        return self.clock() - self._looked_at[status]


class Concern(NamedTuple):
    """Tell which heads of a status concern a loop, and which of them may be due before their time."""

    wants: Callable[[Head], bool]
    status: Status
    is_ahead: Callable[[Head], bool]


class Rest:
    """Let one loop do without looking: after a while without work, until something is due for it or it is disturbed.

    Used by the loop's thread; the lookout's thread may end it.
    """

    def __init__(self, lookout: Lookout, concern: Concern, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.concern = concern
        self.status = concern.status
        self.is_on = False
        self._lookout = lookout
        self._idle_since: float | None = None
        self._ends = 0
        self._before_look = (-1, -1)
        self._state: Hashable = None
        self._until = 0.0

    def has_due(self, head: Head) -> bool:
        """Tell whether the head is a reason to look."""
        return self.concern.wants(head) and (head.due_in_seconds <= 0 or self.concern.is_ahead(head))

    def lasts(self, state: Hashable) -> bool:
        """Tell whether the loop may do without a look; if not, it looks and tells by the other methods what it found.

        ``state`` is what else its looks depend on: the rest ends when that changes.
        """
        out = self._lookout
        calls = (out.calls, self._ends)
        if self.is_on and out.is_fresh(self.status) and calls == self._before_look and out.clock() < self._until:
            return self._state == state
        self._before_look = calls  # what is called from now on, the look may have missed
        return False

    @property
    def seconds(self) -> float:
        """Return how long it lasts at most."""
        return max(0.0, self._until - self._lookout.clock())

    def after_nothing(self, state: Hashable, seconds_until_due: float) -> None:
        """Begin to rest if there was no work for a while; ``seconds_until_due`` is when the look foresaw some."""
        now = self._lookout.clock()
        self._idle_since = now if self._idle_since is None else self._idle_since
        self._state, self._until = state, now + seconds_until_due
        out = self._lookout
        is_long = out.lets_rest and out.fresh_seconds > 0 and now - self._idle_since >= _IDLE_SECONDS
        self.is_on = is_long and self._before_look == (self._lookout.calls, self._ends)

    def begin(self) -> None:
        """Rest, without having looked: until something is due for the loop."""
        self.is_on = True

    def end(self) -> None:
        """Look again: there is work, or may be."""
        self._ends += 1
        self.is_on = False

    def after_work(self) -> None:
        """End, and rest again only after a while without work."""
        self.is_on = False
        self._idle_since = None
