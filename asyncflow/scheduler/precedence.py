"""Which rows of a task type come first, over all of its lanes: those whose order_time is the earliest.

A page tells the order within one lane only. Reading all lanes as far as to be certain would read most rows again and
again; so each is read about as far as the others, and what would then overtake too many waits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from asyncflow.outbox import Task
from asyncflow.scheduler.queries import Head

_FEW = 4  # rows for each lane: what fewer have in common with those behind them, nobody can tell
_SHORT_PAGE = 16  # below, one row more is read, whose moment is where the lane goes on
_STEP = 8  # lanes: each number of them is another statement to be compiled
_NEVER = 1 << 62


class Share(NamedTuple):
    """Tell how many rows of a lane a round is to have, and how many its page may read."""

    head: Head
    rows: int
    limit: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limit what is taken of the rows read.

    Up to ``rows`` are, and of those later than a row that is left, no more than ``ahead`` before it, earlier rounds
    counted in. ``elsewhere`` is the earliest moment of the lanes that were not read; at least ``least`` are taken.
    """

    rows: int
    ahead: int
    elsewhere: int = _NEVER
    least: int = 1  # 0: what is earlier is in hand, and will be out of the way soon


class Precedence:
    """Share a round out among the lanes of one type, and take the earliest rows of what was read.

    Lives as long as the loop that reads, used by its thread. The moments in heads are the lanes' frontiers: a lane's
    rows are not earlier than that.
    """

    def __init__(self) -> None:
        self.moved: dict[int, int | None] = {}  # shard -> its frontier since the last page; None: nothing is left
        self._pages: dict[int, tuple[int, int]] = {}  # shard -> rows and length of its last page, in microseconds
        self._rows, self._span = 0.0, 0.0  # of the last pages together, the latest of them counting most
        self._passed: dict[int, tuple[int, int]] = {}  # shard -> the first moment of its last page, and its frontier
        self._ahead: list[int] = []  # moments of rows that were taken before an earlier one

    def frontier_of(self, head: Head) -> int:
        """Return where a lane goes on.

        A head that was taken and is still there is not settled yet, or cannot be: the lane is read on behind it.
        """
        first, frontier = self._passed.get(head.shard, (None, 0))
        return frontier if head.moment == first else head.moment

    def shares(self, heads: Iterable[Head], rows: int) -> list[Share]:
        """Share ``rows`` out, so that all lanes that are read get as far as one moment; the earliest lane is first."""
        in_order = sorted(heads, key=lambda head: head.moment)
        if rows < _FEW * len(in_order):
            return _few(in_order[:rows], rows)
        sizes = self._sizes(in_order, rows)
        lanes = in_order[: -(-len(sizes) // _STEP) * _STEP]
        wanted = [min(rows, max(1, round(size))) for size in sizes] + [1] * (len(lanes) - len(sizes))
        return [Share(head, size, _page(size)) for head, size in zip(lanes, wanted, strict=True)]

    def _sizes(self, in_order: Sequence[Head], rows: int) -> list[float]:
        """Return for the lanes that begin before the moment that all will have been read to, how many rows that takes.

        That moment is where water would stand that is poured into vessels as wide as the lanes are dense.
        """
        start, width, depth = in_order[0].moment, 0.0, float(rows)
        lanes: list[tuple[float, int]] = []
        for head in in_order:
            offset = head.moment - start
            if lanes and offset >= depth / width:
                break
            density = self._density(head)
            lanes.append((density, offset))
            width += density
            depth += density * offset
        return [density * (depth / width - offset) for density, offset in lanes]

    def _density(self, head: Head) -> float:
        """Return the rows a microsecond of a lane: of its last page, as if a few rows of all lanes stood before it."""
        common = self._rows / max(1.0, self._span) or 1e-9  # of nothing known: any number, for all are alike
        count, span = self._pages.get(head.shard, (0, 0))
        return (count + _SHORT_PAGE) / (span + _SHORT_PAGE / common)

    def take(self, tasks: Sequence[Task], moments: Sequence[int], shares: Sequence[Share], bounds: Bounds) -> list[Task]:
        """Return the earliest of the rows that were read by the shares, in order_time; ``moved`` tells what is left."""
        shards = [task.shard for task in tasks]
        counts, last = Counter(shards), dict(zip(shards, moments, strict=True))
        in_order = sorted(range(len(tasks)), key=moments.__getitem__)
        sorted_moments = [moments[place] for place in in_order]
        left = {share.head.shard: last[share.head.shard] for share in shares if counts[share.head.shard] == share.limit}
        count = self._count(sorted_moments, min(left.values(), default=_NEVER), bounds)
        for place in reversed(in_order[count:]):
            left[shards[place]] = moments[place]
        self._learn(shares, counts, last, left, dict(zip(reversed(shards), reversed(moments), strict=True)))
        self._look_back(sorted_moments[:count], min([bounds.elsewhere, *left.values()]))
        return [tasks[place] for place in in_order[:count]]

    def _count(self, moments: Sequence[int], read_to: int, bounds: Bounds) -> int:
        """Return how many rows to take: all up to what is left, and of those behind it as many as may go ahead."""
        certain = min(read_to, bounds.elsewhere)
        ahead = len(self._ahead) - bisect_right(self._ahead, certain)
        return min(bounds.rows, max(bounds.least, bisect_right(moments, certain) + max(0, bounds.ahead - ahead)))

    def _learn(
        self,
        shares: Iterable[Share],
        counts: Mapping[int, int],
        last: Mapping[int, int],
        left: Mapping[int, int],
        first: Mapping[int, int],
    ) -> None:
        self.moved = {share.head.shard: left.get(share.head.shard) for share in shares}
        self._rows, self._span = self._rows / 2, self._span / 2
        for head, _, limit in shares:
            shard, count = head.shard, counts[head.shard]
            if count:
                self._passed[shard] = first[shard], left.get(shard, last[shard])
            if count == limit and count >= _FEW:
                self._pages[shard] = count, max(0, last[shard] - head.moment)
                self._rows, self._span = self._rows + count, self._span + max(0, last[shard] - head.moment)

    def _look_back(self, taken: Sequence[int], earliest_left: int) -> None:
        ahead = self._ahead[bisect_right(self._ahead, earliest_left) :]
        self._ahead = sorted([*ahead, *taken[bisect_right(taken, earliest_left) :]])


def _few(lanes: Sequence[Head], rows: int) -> list[Share]:
    """Let the earliest lane give them all, and each other what it would have to give if they were alike."""
    each = rows // len(lanes)
    return [Share(head, each, _page(each if number else rows)) for number, head in enumerate(lanes)]


def _page(rows: int) -> int:
    return rows + 1 if rows < _SHORT_PAGE else rows
