"""How long and how large a run of a benchmark is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")
Side = Callable[[], float]
_SMOKE_SECONDS = 1.0  # a plan as short as this shows that a benchmark runs, not what it measures


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Bound a run: about ``seconds`` of measuring, and tables of ``rows`` where a table's size is the question."""

    seconds: float
    rows: int | None = None  # None: what the goal names

    @property
    def is_smoke(self) -> bool:
        """Tell whether this is only to show that the benchmark runs."""
        return self.seconds <= _SMOKE_SECONDS

    def rows_or(self, default: int) -> int:
        """Return the rows asked for, or ``default``; few in a smoke."""
        return self.rows or (2000 if self.is_smoke else default)

    def scaled(self, rows: int) -> int:
        """Return ``rows``, or few of them in a smoke."""
        return min(rows, 500) if self.is_smoke else rows

    def cases(self, all_: Sequence[T]) -> Sequence[T]:
        """Return all cases, the last of them in a smoke."""
        return all_[-1:] if self.is_smoke else all_

    def part(self, share: float) -> Plan:
        """Return a plan of a share of the time."""
        return replace(self, seconds=self.seconds if self.is_smoke else self.seconds * share)

    def alternate(self, sides: Mapping[str, Side], least: int = 3) -> dict[str, list[float]]:
        """Run the sides in turn, so that what disturbs the machine disturbs them alike; return what each returned.

        Goes on for the plan's seconds and for at least ``least`` rounds, once in a smoke. Each round begins with
        another side, so that none always comes after the same one.
        """
        found: dict[str, list[float]] = {name: [] for name in sides}
        deadline = perf_counter() + self.seconds
        rounds = 0
        while rounds < (1 if self.is_smoke else least) or (perf_counter() < deadline and not self.is_smoke):
            names = list(sides)
            turn = rounds % len(names)
            for name in names[turn:] + names[:turn]:
                found[name].append(sides[name]())
            rounds += 1
        return found
