"""A chart as a person sees it: a line for each outcome, and the same in numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from asyncflow.integrations.dashboard.figures.lines import HEIGHT, WIDTH, points_of, sums_of
from asyncflow.scheduler.charts.charts import Chart, Charts

SPARK_WIDTH, SPARK_HEIGHT = 160, 32
_ROWS: Mapping[int, int] = {60: 60, 600: 36}  # counts in a row of the numbers: an hour of minutes, six of tens


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Hold one line: its outcome, the points of a polyline, and what all of it adds up to."""

    name: str
    points: str
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Hold what a template draws of one chart; ``top`` is what a minute had at the upper edge.

    ``rows`` are the numbers: a moment, and a sum for each line.
    """

    task_type: str | None
    lines: Sequence[Curve]
    top: float
    begin: datetime
    end: datetime
    rows: Sequence[tuple[datetime, Sequence[int]]]
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    """Hold a small line of one row of a table; ``total`` and ``top`` tell it in words."""

    points: str
    total: int
    top: int
    width: int = SPARK_WIDTH
    height: int = SPARK_HEIGHT


def drawing_of(charts: Charts, chart: Chart, *, group: int = 1) -> Drawing:
    """Return one of the charts with ``group`` counts in a point; outcomes that did not come have no line."""
    seen = {name: counts for name, counts in chart.outcomes.items() if any(counts)}
    grouped = {name: sums_of(counts, group) for name, counts in seen.items()}
    top = max((max(counts) for counts in grouped.values()), default=0)
    step, length = timedelta(seconds=charts.step_seconds), len(chart.sent)
    of_row = _ROWS.get(charts.step_seconds, length)
    rows = {name: sums_of(counts, of_row) for name, counts in seen.items()}
    return Drawing(
        task_type=chart.task_type,
        lines=[Curve(name=name, points=points_of(counts, top), total=sum(counts)) for name, counts in grouped.items()],
        top=top * 60 / (group * charts.step_seconds),
        begin=charts.begin,
        end=charts.begin + step * length,
        rows=[
            (charts.begin + step * of_row * number, [counts[number] for counts in rows.values()])
            for number in range(-(-length // of_row))
        ],
    )


def spark_of(minutes: Sequence[int]) -> Spark:
    """Return the minutes of an hour as a small line."""
    top = max(minutes, default=0)
    return Spark(points=points_of(minutes, top, SPARK_WIDTH, SPARK_HEIGHT), total=sum(minutes), top=top)
