"""One measured figure, its goal and its verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

Details = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Hold what a figure must reach: a least ratio or value, or a value that it must not exceed; ``text`` says it."""

    text: str
    least_ratio: float | None = None
    least_value: float | None = None
    most_value: float | None = None

    def shortfall(self, value: float, ratio: float) -> float:
        """Return by which share the goal is missed, 0 if it is met."""
        misses = [0.0]
        if self.least_ratio is not None:
            misses.append(1 - ratio / self.least_ratio)
        if self.least_value is not None:
            misses.append(1 - value / self.least_value)
        if self.most_value is not None:
            misses.append(value / self.most_value - 1)
        return max(misses)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Hold a figure beside what it is measured against, in the same run on the same machine.

    ``ratio`` is value / beside_value, or its inverse where less is better: above 1 always means better than that.
    ``where`` tells where the time goes, for a figure that can fall short. One without rounds was not measured, and
    ``where`` tells why.
    """

    name: str
    value: float
    unit: str
    beside: str
    beside_value: float
    ratio: float
    rounds: int
    goal: Goal | None = None
    where: str = ""
    details: Details = field(default_factory=dict)

    @property
    def shortfall(self) -> float:
        """Return by which share the goal is missed; 0 if it is met or there is none."""
        return self.goal.shortfall(self.value, self.ratio) if self.goal else 0.0

    @property
    def verdict(self) -> str:
        """Say whether the goal is met, and by how much not."""
        if not self.rounds:
            return "not measured"
        if self.goal is None:
            return "-"
        return "met" if self.shortfall == 0 else f"short by {self.shortfall * 100:.0f} %"

    def record(self) -> Details:
        """Return everything known of the figure, for a JSON file."""
        return {**asdict(self), "verdict": self.verdict}


def faster(name: str, ours: list[float], beside: str, theirs: list[float], **fields: Any) -> Figure:
    """Return the figure of two series of speeds, by their medians."""
    fields.setdefault("unit", "messages/s")
    return _of(name, ours, beside, theirs, median(ours) / median(theirs), fields)


def shorter(name: str, ours: list[float], beside: str, theirs: list[float], **fields: Any) -> Figure:
    """Return the figure of two series of which less is better, by their medians."""
    return _of(name, ours, beside, theirs, median(theirs) / median(ours), fields)


def _of(name: str, ours: list[float], beside: str, theirs: list[float], ratio: float, fields: Details) -> Figure:
    return Figure(
        name=name,
        value=median(ours),
        beside=beside,
        beside_value=median(theirs),
        ratio=ratio,
        rounds=len(ours),
        details={**fields.pop("details", {}), "ours": ours, "beside": theirs},
        **fields,
    )


def not_measured(name: str, beside: str, why: str, goal: Goal) -> Figure:
    """Return the figure of something that cannot run here."""
    return Figure(
        name=name, value=0.0, unit="", beside=beside, beside_value=0.0, ratio=0.0, rounds=0, goal=goal, where=why
    )


def at_least(ratio: float) -> Goal:
    """Return the goal of a ratio."""
    return Goal(text=f">= {ratio:g}", least_ratio=ratio)
