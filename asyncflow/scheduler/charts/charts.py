"""Charts: how many tasks came to which outcome, minute by minute or in tens of minutes, of all processes together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Engine

from asyncflow.outbox import Outbox
from asyncflow.outbox.options import require_whole
from asyncflow.scheduler.charts import queries
from asyncflow.scheduler.charts.hour import ALL_TYPES, MINUTES, MOST_TYPES, OUTCOMES, minutes_from
from asyncflow.scheduler.connections.again import run_briefly

KEPT_HOURS = 73  # of three days, the first of which has begun
_HOUR_SECONDS = 3600
_UNWRITTEN = 2  # minutes at the end that some process may not have written yet
_RATED = 5  # minutes before these, of which a rate is told


class Span(Enum):
    """Say what charts tell of: the last hour or eight hours by minutes, the last three days by tens of minutes."""

    ONE_HOUR = (60, 60)
    EIGHT_HOURS = (60, 480)
    THREE_DAYS = (600, 432)

    @property
    def step_seconds(self) -> int:
        """Return how long each count goes on."""
        return self.value[0]

    @property
    def steps(self) -> int:
        """Return how many counts there are."""
        return self.value[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Hold counts, earliest first: messages sent, tasks done, dead letters, attempts that failed and are made again.

    ``task_type`` is None for all types together, and for the others.
    """

    task_type: str | None
    sent: tuple[int, ...]
    done: tuple[int, ...]
    failed: tuple[int, ...]
    retried: tuple[int, ...]

    @property
    def outcomes(self) -> dict[str, tuple[int, ...]]:
        """Return the counts by outcome."""
        return {name: getattr(self, name) for name in OUTCOMES}

    @property
    def totals(self) -> dict[str, int]:
        """Return the sum of each outcome."""
        return {name: sum(counts) for name, counts in self.outcomes.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """Hold the chart of all types, those of some, and of what the others have together.

    ``begin`` is that of the first count, by the database's clock; the last one is not over yet. A type of which one
    process had more than a hundred others that were busier is, for that hour, among the others.
    """

    begin: datetime
    step_seconds: int
    of_all: Chart
    types: tuple[Chart, ...]
    others: Chart


def charts(
    engine: Engine,
    outbox: Outbox,
    *,
    span: Span = Span.EIGHT_HOURS,
    types: Iterable[str] | None = None,
    most: int = 10,
) -> Charts:
    """Return the charts of ``types``, or of the ``most`` busiest; any thread may call.

    Reads no task: a row for each hour, process and type shown. Raises OptionError, or what the database raises.
    """
    require_whole("most", most, 0, MOST_TYPES)
    wanted = None if types is None else list(dict.fromkeys(types))
    return run_briefly(engine, lambda connection: _read(connection, outbox, span, wanted, most))


def _read(connection: Connection, outbox: Outbox, span: Span, wanted: list[str] | None, most: int) -> Charts:
    table, step = outbox.charts, span.step_seconds
    begin = (int(queries.now(connection)) // step - span.steps + 1) * step
    hours = list(range(begin // _HOUR_SECONDS, (begin + span.steps * step) // _HOUR_SECONDS + 1))
    if wanted is None:
        wanted = [row.task_type for row in connection.execute(queries.busiest(table), {"hours": hours, "most": most})]
    names = [ALL_TYPES, *wanted]
    sums = {name: _Sums(span, begin) for name in names}
    for hour, name, text in connection.execute(queries.of_types(table), {"hours": hours, "types": names}):
        sums[name].add(hour, minutes_from(text))
    made = [sums[name].chart(name) for name in wanted]
    of_all = sums[ALL_TYPES].chart(None)
    return Charts(
        begin=datetime.fromtimestamp(begin, timezone.utc),
        step_seconds=step,
        of_all=of_all,
        types=tuple(made),
        others=_rest(of_all, made),
    )


def rate_of(minutes: Sequence[int]) -> float:
    """Return how many there were a second lately, of counts minute by minute of which the last is not over.

    It is told of the minutes that every process has written, from the first in which anything was counted; as long as
    there are none, of the last whole one, as far as that was written.
    """
    first = next((number for number, count in enumerate(minutes) if count), len(minutes))
    written = minutes[max(first, len(minutes) - _UNWRITTEN - _RATED) : -_UNWRITTEN] or minutes[-_UNWRITTEN:-1]
    return sum(written) / (60 * len(written)) if written else 0.0


class _Sums:
    """Add up the rows of one type; made and read within one look, on one thread."""

    def __init__(self, span: Span, begin: int) -> None:
        self._span = span
        self._begin = begin
        self._counts = {name: [0] * span.steps for name in OUTCOMES}

    def add(self, hour: int, minutes: Mapping[str, Sequence[int]]) -> None:
        """Add the minutes of an hour; those before the first count, and behind the last, are left out."""
        group = self._span.step_seconds // 60
        first = (hour * _HOUR_SECONDS - self._begin) // self._span.step_seconds
        for name, counts in minutes.items():
            sums = self._counts[name]
            for place in range(0, min(MINUTES, len(counts)), group):
                number = first + place // group
                if 0 <= number < self._span.steps:
                    sums[number] += sum(counts[place : place + group])

    def chart(self, task_type: str | None) -> Chart:
        """Return the sums."""
        return _chart(task_type, self._counts)


def _chart(task_type: str | None, counts: Mapping[str, Iterable[int]]) -> Chart:
    made: dict[str, Any] = {name: tuple(counts[name]) for name in OUTCOMES}
    return Chart(task_type=task_type, **made)


def _rest(of_all: Chart, types: Iterable[Chart]) -> Chart:
    named = [one.outcomes for one in types]
    left = {
        name: [
            max(0, total - sum(column)) for total, *column in zip(counts, *(one[name] for one in named), strict=True)
        ]
        for name, counts in of_all.outcomes.items()
    }
    return _chart(None, left)
