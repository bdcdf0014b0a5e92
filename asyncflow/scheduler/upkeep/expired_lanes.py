"""The lanes in which settled rows have expired: one look serves many batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from asyncflow.outbox import Outbox
from asyncflow.outbox.status import Status
from asyncflow.scheduler.heads.parts import HeadParts, Part
from asyncflow.scheduler.heads.queries import Head


class ExpiredBatch(NamedTuple):
    """Name the lanes that a batch is taken from: all of messages, or all of tasks that have handlers."""

    status: Status
    heads: Sequence[Head]

    @property
    def oldest_seconds(self) -> float:
        """Return how long ago the oldest of their rows was settled, when they were looked at."""
        return max(-head.due_in_seconds for head in self.heads)


class ExpiredLanes:
    """Give lanes of owned shards for one batch after the other, through all statuses; used by one thread.

    What expires behind a look's back is found by the next one, which begins when all lanes of this one are done.
    """

    def __init__(
        self,
        outbox: Outbox,
        parts: Mapping[Status, HeadParts],
        retentions: Mapping[Status, float],
        owned: Callable[[], Collection[int]],
        most: int,
    ) -> None:
        self._outbox = outbox
        self._parts = parts
        self._retentions = retentions
        self._owned = owned
        self._most = most
        self._walk = self._batches()
        self._left: deque[Head] = deque()  # of the part and kind in hand
        self._has_deleted = False  # anything, in the walk that goes on: what cannot be deleted ends it

    def next(self) -> ExpiredBatch | None:
        """Return some lanes; None after a look through all of them from which nothing was deleted."""
        while True:
            try:
                batch = next(self._walk, None)
            except BaseException:
                self._walk = self._batches()  # a generator that raised gives nothing more
                raise
            if batch is not None:
                return batch
            self._walk = self._batches()
            if not self._has_deleted:
                return None
            self._has_deleted = False

    def note_deleted(self, full: Sequence[Head]) -> None:
        """Know that rows of the last batch were deleted, and give those lanes again that may have more.

        In turn another one is the last of a batch, whose rows there may be no room for: it would fall behind for ever.
        """
        self._has_deleted = True
        self._left.extend((*full[1:], *full[:1]))

    def _batches(self) -> Iterator[ExpiredBatch]:
        for status in self._retentions:
            for part in self._parts_of(status):
                expired = [head for head in part.heads if self._is_expired(head, status)]
                for is_message in (True, False):
                    kind = [head for head in expired if (head.task_type in self._outbox.task_types) is is_message]
                    self._left = deque(kind)
                    while heads := self._take():
                        yield ExpiredBatch(status, heads)

    def _parts_of(self, status: Status) -> Iterator[Part]:
        is_last = False
        while not is_last:
            part = self._parts[status].next()
            is_last = part.is_last
            yield part

    def _is_expired(self, head: Head, status: Status) -> bool:
        return head.due_in_seconds < -self._retentions[status]

    def _take(self) -> list[Head]:
        """Take lanes that are owned now; another instance sees to the others."""
        owned, taken = self._owned(), list[Head]()
        while self._left and len(taken) < self._most:
            head = self._left.popleft()
            # Settled rows keep the shards that they had under another shard count.
            if head.shard % self._outbox.shard_count in owned:
                taken.append(head)
        return taken
