"""The precedence of every type that one loop reads, and what it means for a round of several types."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from asyncflow.outbox import Task
from asyncflow.scheduler.heads.precedence import FEW, NEVER, Bounds, Portion, Precedence
from asyncflow.scheduler.heads.queries import MOST_PAGES, Head, Lane, Pages


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """Tell of a round which rows are read, and how many are taken of each type."""

    portions: list[Portion]
    limit: int  # rows of a lane, were they all alike
    bounds: Mapping[str, Bounds]

    @property
    def limits(self) -> list[int]:
        """Return how many rows each page may read."""
        return [portion.limit for portion in self.portions]

    @property
    def lanes(self) -> list[Lane]:
        """Return the lanes of the pages."""
        return [(portion.head.task_type, portion.head.shard) for portion in self.portions]

    def reading_further(self, rows_in: Callable[[Lane], int]) -> RoundPlan:
        """Return the plan with pages that hold ``rows_in`` their lane more, which are read and passed over."""
        further = list(map(rows_in, self.lanes))
        portions = [
            portion._replace(limit=portion.limit + rows) for portion, rows in zip(self.portions, further, strict=True)
        ]
        of_types = Counter[str]()
        for portion, rows in zip(portions, further, strict=True):
            of_types[portion.head.task_type] += rows
        bounds = {
            name: replace(one, rows=one.rows + of_types[name], ahead=one.ahead + of_types[name])
            for name, one in self.bounds.items()
        }
        return replace(self, portions=portions, bounds=bounds)

    def reading_no_more(self, most: int, lanes: Container[Lane]) -> RoundPlan:
        """Return the plan with pages of no more than ``most`` rows of some lanes."""
        portions = [
            portion._replace(rows=min(portion.rows, most), limit=min(portion.limit, most)) if lane in lanes else portion
            for portion, lane in zip(self.portions, self.lanes, strict=True)
        ]
        return replace(self, portions=portions)

    def full_pages(self, rows: Iterable[Task]) -> set[Lane]:
        """Return the lanes that gave as many of the ``rows`` as were to be read."""
        counts = Counter((task.task_type, task.shard) for task in rows)
        return {lane for lane, limit in zip(self.lanes, self.limits, strict=True) if counts[lane] >= limit}


class _TypePages(NamedTuple):
    """Hold what was read of one type, page by page, and the portions that it was read by."""

    task_type: str
    tasks: list[Task]
    moments: Any  # a list, or what reads each where it is asked for
    portions: list[Portion]


class Priorities:
    """Put the rounds of one loop in order, each type by itself; lives as long as the loop, used by its thread.

    A type that ``is_ordered`` keeps the order of its pages, and its lanes are read in turn.
    """

    def __init__(self, is_ordered: Callable[[str], bool]) -> None:
        self._is_ordered = is_ordered
        self._of_types: defaultdict[str, Precedence] = defaultdict(Precedence)

    def frontiers(self, heads: Iterable[Head]) -> list[Head]:
        """Return the heads with the moments at which their lanes go on, by which they take turns."""
        return [self._moved(head) for head in heads]

    def _moved(self, head: Head) -> Head:
        moment = 0 if self._is_ordered(head.task_type) else self._of_types[head.task_type].frontier_of(head)
        return head if moment == head.moment else head._replace(moment=moment)

    def plan(self, served: Sequence[Head], rows: int, due: Iterable[Head], held: Sequence[Head]) -> RoundPlan:
        """Share a round of ``rows`` out: to each type as much as if all of the heads that are ``served`` had alike.

        ``due`` are the heads of all that could be read, ``held`` those of what is in hand.
        """
        limit = max(1, rows // max(1, len(served)))
        portions: list[Portion] = []
        shares: dict[str, int] = {}
        for name, heads in _by_type(served).items():
            if self._is_ordered(name):
                shares[name] = limit * len(heads)
                portions += [Portion(head, limit, limit) for head in heads]
            else:
                shares[name] = max(rows * len(heads) // len(served), len(heads))
                portions += self._of_types[name].portions(heads, shares[name])
        return RoundPlan(portions, limit, _bounds(portions, shares, limit, [*due, *held], held))

    def take(self, rows: Pages, plan: RoundPlan) -> list[Task]:
        """Return what of the rows is taken, each type in its order."""
        if len(plan.bounds) == 1:
            (name,) = plan.bounds
            return self._take(_TypePages(name, rows, rows.moments, plan.portions), plan.bounds[name])
        pages = {name: _TypePages(name, [], [], []) for name in plan.bounds}
        for portion in plan.portions:
            pages[portion.head.task_type].portions.append(portion)
        for task, moment in zip(rows, rows.moments, strict=True):
            its = pages[task.task_type]
            its.tasks.append(task)
            its.moments.append(moment)
        return [task for name, its in pages.items() for task in self._take(its, plan.bounds[name])]

    def _take(self, pages: _TypePages, bounds: Bounds) -> list[Task]:
        name, tasks, moments, portions = pages
        if self._is_ordered(name):
            return _in_order_of_pages(tasks, moments, portions)
        return self._of_types[name].take(tasks, moments, portions, bounds)

    def forget(self, names: Iterable[str]) -> None:
        """Forget how far the lanes of types were read: all that was due of them was taken."""
        for name in names:
            self._of_types.pop(name, None)

    def moved(self, plan: RoundPlan) -> dict[Lane, int | None]:
        """Return where the lanes that were read go on, None where nothing is left."""
        moved: dict[Lane, int | None] = {}
        for name in plan.bounds:
            if not self._is_ordered(name):
                moved |= {(name, shard): moment for shard, moment in self._of_types[name].moved.items()}
        return moved


def _in_order_of_pages(tasks: Sequence[Task], moments: Sequence[int], portions: Iterable[Portion]) -> list[Task]:
    """Return the rows page by page, each in its order: no database promises it of a union of ordered pages."""
    places = {portion.head.shard: place for place, portion in enumerate(portions)}
    rows = zip(tasks, moments, strict=True)
    return [task for task, _ in sorted(rows, key=lambda row: (places[row[0].shard], row[1], row[0].raw_id))]


def in_no_order(heads: Iterable[Head], names: Container[str]) -> list[Head]:
    """Return the heads of some types without their moments, so that they take turns."""
    return [head._replace(moment=0) for head in heads if head.task_type in names]


def _bounds(
    portions: Iterable[Portion], shares: Mapping[str, int], limit: int, waiting: Sequence[Head], held: Iterable[Head]
) -> dict[str, Bounds]:
    """Return for each type that is served what a round may take of it, up to its share.

    A row may be overtaken by as many rows as it takes to read each lane of its type once, by two rounds at most if each
    lane gives a few rows only; and by one whole round for each statement that so many lanes take.
    """
    read = {(portion.head.task_type, portion.head.shard) for portion in portions}
    lanes = Counter(head.task_type for head in waiting)
    in_hand = {head.task_type for head in held}
    elsewhere: dict[str, int] = {}
    for head in waiting:
        if (head.task_type, head.shard) not in read:
            elsewhere[head.task_type] = min(head.moment, elsewhere.get(head.task_type, NEVER))
    bounds = {}
    whole = sum(shares.values())
    for name, rows in shares.items():
        of_all = limit * lanes[name]
        most = whole * -(-lanes[name] // MOST_PAGES) if limit >= FEW else 2 * rows
        bounds[name] = Bounds(
            rows, max(rows, min(of_all, most)), elsewhere.get(name, NEVER), 0 if name in in_hand else 1
        )
    return bounds


def _by_type(heads: Iterable[Head]) -> dict[str, list[Head]]:
    of_types: dict[str, list[Head]] = {}
    for head in heads:
        of_types.setdefault(head.task_type, []).append(head)
    return of_types
