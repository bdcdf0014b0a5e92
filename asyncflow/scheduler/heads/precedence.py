"""Which rows of a task type come first, over all of its lanes: those whose order_time is the earliest.

A page tells the order within one lane only. Reading all lanes as far as to be certain would read most rows again and
again; so each is read about as far as the others, and what would then overtake too many waits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import NamedTuple

from asyncflow.outbox import Task
from asyncflow.scheduler.heads.queries import Head
from asyncflow.scheduler.heads.rows_ahead import RowsAhead, end_of

FEW = 4  # rows for each lane: what fewer have in common with those behind them, nobody can tell
_SHORT_PAGE = 16  # below, one row more is read, whose moment is where the lane goes on
_MANY = 256  # rows
_CLOSE = 1_000_000  # microseconds: priorities are whole seconds
_LEAST_DENSITY = 1e-9  # rows a microsecond; of nothing known any number will do, for all lanes are alike
_ASKED_OF_A_PAGE = 40  # moments, as costly as reading so many at once
_FULL = 0.75  # of the rows that a round may have
_WORTHWHILE = 64  # rows of a page, beside which it costs little that it is one
_ROUNDS_OF_ALL = 8  # lanes, after one in which a lane had less than was asked of it
NEVER = 1 << 62


class Portion(NamedTuple):
    """Tell how many rows of a lane a round is to have, and how many its page may read."""

    head: Head
    rows: int
    limit: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limit what is taken of the rows read.

    Up to ``rows`` are, and no more than ``ahead`` before a row that is left and earlier, earlier rounds counted in; of
    many rows those that are later by less than a second count for none. ``elsewhere`` is the earliest moment of the
    lanes that were not read; at least ``least`` are taken.
    """

    rows: int
    ahead: int
    elsewhere: int = NEVER
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
        self._ahead: list[RowsAhead] = []  # of the last rounds
        self._rounds_of_all = 0  # to come

    def frontier_of(self, head: Head) -> int:
        """Return where a lane goes on.

        A head that was taken and is still there is not settled yet, or cannot be: the lane is read on behind it.
        """
        first, frontier = self._passed.get(head.shard, (None, 0))
        return frontier if head.moment == first else head.moment

    def nearest(self, heads: Iterable[Head], rows: int) -> list[Head]:
        """Return the earliest lanes: so few that their pages are worth their while, if none of the others is kept back.

        That is so where all that is read is later than what is left elsewhere by less than a second. All are returned
        for a while after a lane has had less than was asked of it, since a round of few would be a small one.
        """
        in_order = sorted(heads, key=lambda head: head.moment)
        if rows < _MANY or self._rounds_of_all:
            return in_order
        count = 1 << (rows // _WORTHWHILE - 1).bit_length()
        while count < len(in_order):
            if self._depth(in_order[:count], rows) < in_order[count].moment - in_order[0].moment + _CLOSE / 2:
                return in_order[:count]
            count *= 2
        return in_order

    def _depth(self, in_order: Sequence[Head], rows: int) -> float:
        """Return how far from their beginning, in microseconds, so many rows of some lanes go."""
        densities = [self._density(head) for head in in_order]
        before = sum(
            density * (head.moment - in_order[0].moment) for density, head in zip(densities, in_order, strict=True)
        )
        return (rows + before) / sum(densities)

    def portions(self, heads: Iterable[Head], rows: int) -> list[Portion]:
        """Share ``rows`` out, so that all lanes that are read get as far as one moment; the earliest lane is first."""
        in_order = sorted(heads, key=lambda head: head.moment)
        if rows < FEW * len(in_order):
            return _few(in_order[:rows], rows)
        sizes = self._sizes(in_order, rows)
        # Each number of pages is another statement to be compiled, so there are few numbers of them.
        lanes = in_order[: 1 << (len(sizes) - 1).bit_length()]
        wanted = [max(1, int(size)) for size in sizes] + [1] * (len(lanes) - len(sizes))
        for place in range(min(rows - sum(wanted), len(wanted))):  # what the fractions came to
            wanted[place] += 1
        return [Portion(head, size, _page(size)) for head, size in zip(lanes, wanted, strict=True)]

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
        common = max(_LEAST_DENSITY, self._rows / max(1.0, self._span))  # what is known fades with each round
        count, span = self._pages.get(head.shard, (0, 0))
        return (count + _SHORT_PAGE) / (span + _SHORT_PAGE / common)

    def take(
        self, tasks: Sequence[Task], moments: Sequence[int], portions: Sequence[Portion], bounds: Bounds
    ) -> list[Task]:
        """Return the earliest of the rows that were read by the portions, in order_time; ``moved`` tells what is left.

        Many rows within a moment, so that no priority stands between them, stay as they were read.
        """
        if len(moments) < _ASKED_OF_A_PAGE * len(portions):
            moments = list(moments)
        pages = _pages_of(tasks, moments, portions)
        left = {page.shard: page.last for page in pages if page.is_full}
        self._rounds_of_all = _ROUNDS_OF_ALL if len(left) < len(portions) else max(0, self._rounds_of_all - 1)
        count = self._count(moments, pages, min(left.values(), default=NEVER), bounds)
        if len(tasks) >= _MANY and _span(pages) < _CLOSE:
            ends = _ends_of_earliest(count, moments, pages)
            taken = [task for page, end in zip(pages, ends, strict=True) for task in tasks[page.start : end]]
            runs = [(page.start, end) for page, end in zip(pages, ends, strict=True) if end > page.start]
            left |= {page.shard: moments[end] for page, end in zip(pages, ends, strict=True) if end < page.end}
        else:
            known = list(moments)
            in_order = sorted(range(len(tasks)), key=known.__getitem__)
            taken = [tasks[place] for place in in_order[:count]]
            moments, runs = [known[place] for place in in_order[:count]], [(0, count)] if count else []
            left |= {tasks[place].shard: known[place] for place in reversed(in_order[count:])}
        self._learn(portions, pages, left)
        self._note_ahead(moments, runs, min([bounds.elsewhere, *left.values()]))
        return taken

    def _note_ahead(self, moments: Sequence[int], runs: Sequence[tuple[int, int]], earliest_left: int) -> None:
        """Know what was taken, in ascending runs, and what of it and of earlier rounds was ahead of what is left."""
        still = [beyond for one in self._ahead if (beyond := one.beyond(earliest_left)) is not None]
        last = max((moments[end - 1] for _, end in runs), default=earliest_left)
        if last > earliest_left:
            still.append(RowsAhead(moments, runs, last, earliest_left))
        self._ahead = still

    def _count(self, moments: Sequence[int], pages: Sequence[_LanePage], read_to: int, bounds: Bounds) -> int:
        """Return how many rows to take: all up to what is left, and of those behind it as many as may go ahead.

        Where many are read, none is ahead by less than a second, for priorities are whole seconds: lanes drift apart
        by chance, and rows that are read in vain cost as much as others.
        """
        close = min(read_to, bounds.elsewhere) + (_CLOSE - 1 if len(moments) >= _MANY else 0)
        ahead = sum(rows.later_than(close) for rows in self._ahead)
        count = _up_to(close, moments, pages) + max(0, bounds.ahead - ahead)
        if bounds.least and len(moments) < bounds.rows * _FULL:  # only full rounds are worth some disorder
            count = min(count, _up_to(read_to, moments, pages))
        return min(bounds.rows, len(moments), max(bounds.least, count))

    def _learn(self, portions: Iterable[Portion], pages: Iterable[_LanePage], left: Mapping[int, int]) -> None:
        began = {portion.head.shard: portion.head.moment for portion in portions}
        self.moved = {shard: left.get(shard) for shard in began}
        self._rows, self._span = self._rows / 2, self._span / 2
        for page in pages:
            self._passed[page.shard] = page.first, left.get(page.shard, page.last)
            if page.is_full and page.limit >= FEW:
                span = max(0, page.last - began[page.shard])
                self._pages[page.shard] = page.limit, span
                self._rows, self._span = self._rows + page.limit, self._span + span


class _LanePage(NamedTuple):
    """Tell where the rows of a lane begin and end, how many there might have been, and the first and last moments."""

    shard: int
    start: int
    end: int
    limit: int
    first: int
    last: int

    @property
    def is_full(self) -> bool:
        """Tell whether there may be more in the lane."""
        return self.end - self.start == self.limit


def _pages_of(tasks: Sequence[Task], moments: Sequence[int], portions: Iterable[Portion]) -> list[_LanePage]:
    """Return the pages that have rows; they come in the order of the portions."""
    pages: list[_LanePage] = []
    end = 0
    for head, _, limit in portions:
        start, end = end, min(end + limit, len(tasks))
        while end > start and tasks[end - 1].shard != head.shard:
            end -= 1
        if end > start:
            pages.append(_LanePage(head.shard, start, end, limit, moments[start], moments[end - 1]))
    return pages


def _span(pages: Iterable[_LanePage]) -> int:
    """Return how long it is from the earliest to the latest; a page's own are in order."""
    return max(page.last for page in pages) - min(page.first for page in pages)


def _ends_of_earliest(count: int, moments: Sequence[int], pages: Sequence[_LanePage]) -> list[int]:
    """Return for each page where its part of the ``count`` earliest rows ends."""
    if count == len(moments):
        return [page.end for page in pages]
    moments = list(moments)
    last = sorted(moments)[count - 1] if count else -1
    ends = [bisect_right(moments, last, page.start, page.end) for page in pages]
    surplus = sum(ends) - sum(page.start for page in pages) - count  # of the rows of that very microsecond
    for number, page in enumerate(pages):
        while surplus and ends[number] > page.start and moments[ends[number] - 1] == last:
            ends[number] -= 1
            surplus -= 1
    return ends


def _up_to(moment: int, moments: Sequence[int], pages: Iterable[_LanePage]) -> int:
    return sum(
        (page.end if page.last <= moment else end_of(moment, moments, page.start, page.end)) - page.start
        for page in pages
    )


def _few(lanes: Sequence[Head], rows: int) -> list[Portion]:
    """Let the earliest lane give them all, and each other what chance may ask of it if all are alike."""
    each, more = divmod(rows, len(lanes))
    most = min(rows, each + ceil(2 * sqrt(each)))
    return [Portion(head, each + (number < more), _page(most if number else rows)) for number, head in enumerate(lanes)]


def _page(rows: int) -> int:
    return rows + 1 if rows < _SHORT_PAGE else rows
