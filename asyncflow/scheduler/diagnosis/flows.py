"""How tasks come and go: in and out a second, how many wait, and how long that will take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from asyncflow.outbox import Outbox
from asyncflow.outbox.look_up.time_rows import id_at
from asyncflow.outbox.status import Status
from asyncflow.scheduler.charts.charts import Chart, Charts, Span, charts, rate_of
from asyncflow.scheduler.charts.hour import MOST_TYPES
from asyncflow.scheduler.connections.again import run_for_person
from asyncflow.scheduler.diagnosis import queries
from asyncflow.scheduler.operator.type_counts import count_up_to
from asyncflow.scheduler.table.queries import read_clock

BEHIND_SECONDS = 10.0  # who is not later than that keeps up, and there is nothing to estimate
_WINDOW_SECONDS = 60.0  # of what was enqueued, or less of it if that is more than MOST_ARRIVALS
_MOST_ARRIVALS = 500
_COUNT_LIMIT = 5_000  # of one type: a page that is asked for every two seconds looks at no more
_MOST_COUNTED = 20_000  # entries of the index, by all counts together
_MOST_WAITING = 100  # types that are counted: those that wait longest


class Lateness(NamedTuple):
    """Tell for how long the oldest due task of each type waits; and whether what succeeds is deleted at once."""

    seconds: Mapping[str, float]
    deletes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Tell of some task types together; ``minutes`` are what was sent or done in each of the last hour."""

    in_per_second: float
    out_per_second: float
    pending: int  # of the types of which some task is due
    is_capped: bool  # there are so many or more
    minutes: Sequence[int]
    oldest_due_seconds: float | None = None

    @property
    def is_behind(self) -> bool:
        """Tell whether its tasks wait longer than a moment."""
        return self.oldest_due_seconds is not None and self.oldest_due_seconds >= BEHIND_SECONDS

    @property
    def is_counted(self) -> bool:
        """Tell whether anything was counted within the hour: in its first minutes nothing is known of what goes out."""
        return any(self.minutes)

    @property
    def drained_seconds(self) -> float | None:
        """Return in how long nothing will wait, as it goes now; None if it keeps up, or does not get less."""
        lessening = self.out_per_second - self.in_per_second
        return self.pending / lessening if self.is_behind and lessening > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Hold what was seen at one moment; ``chart_of`` has the types that the charts name."""

    arrivals: Mapping[str, float]  # a second, by task type
    pending: Mapping[str, int]
    limit: int  # of each of these counts
    lateness: Lateness
    chart_of: Mapping[str, Chart]

    def of(self, types: Collection[str]) -> Flow:
        """Return the flow of some types together."""
        pending = [self.pending.get(name, 0) for name in types]
        late = [self.lateness.seconds[name] for name in types if name in self.lateness.seconds]
        return Flow(
            in_per_second=sum(map(self._in, types)),
            out_per_second=sum(map(self._out, types)),
            pending=sum(pending),
            is_capped=any(count >= self.limit for count in pending),
            minutes=[sum(counts) for counts in zip(*map(self._minutes, types), strict=True)],
            oldest_due_seconds=max(late, default=None),
        )

    def _out(self, name: str) -> float:
        return rate_of(self._minutes(name))

    def _in(self, name: str) -> float:
        seen = self.arrivals.get(name, 0.0)
        # Of what is deleted as it succeeds nothing is seen, unless what waits is older than what is looked at.
        if self.lateness.deletes and self.lateness.seconds.get(name, 0.0) < _WINDOW_SECONDS:
            return max(seen, self._out(name))
        return seen

    def _minutes(self, name: str) -> Sequence[int]:
        chart = self.chart_of.get(name)
        if chart is None:
            return [0] * Span.ONE_HOUR.steps
        return [sent + done for sent, done in zip(chart.sent, chart.done, strict=True)]


def hour_of(engine: Engine, outbox: Outbox) -> Charts:
    """Return the charts of the last hour, by which flows go."""
    return charts(engine, outbox, span=Span.ONE_HOUR, most=MOST_TYPES)


def look_at_flows(engine: Engine, outbox: Outbox, lateness: Lateness, hour: Charts | None = None) -> Flows:
    """Return how the tasks of each type come and go; bounded, whatever the number of tasks and types.

    In: by the newest ids, which begin with the time of those who wrote them. Out: by the charts, where the caller has
    no ``hour`` of them at hand.
    """
    of_hour = hour_of(engine, outbox) if hour is None else hour
    late = sorted(lateness.seconds, key=lambda name: -lateness.seconds[name])[:_MOST_WAITING]
    limit = min(_COUNT_LIMIT, _MOST_COUNTED // max(1, len(late)))

    def read(connection: Connection) -> Flows:
        wanted = [(Status.PENDING, name) for name in late]
        counts = count_up_to(connection, outbox.tasks, wanted, limit) if wanted else {}
        return Flows(
            arrivals=_arrivals(connection, outbox, connection.execute(read_clock()).scalar_one()),
            pending={name: count for (_, name), count in counts.items()},
            limit=limit,
            lateness=lateness,
            chart_of={one.task_type: one for one in of_hour.types if one.task_type is not None},
        )

    return run_for_person(engine, read)


def _arrivals(connection: Connection, outbox: Outbox, now: datetime) -> Mapping[str, float]:
    first = id_at(now - timedelta(seconds=_WINDOW_SECONDS))
    rows = connection.execute(queries.newest(outbox.tasks), {"first": first, "most": _MOST_ARRIVALS}).all()
    if len(rows) == _MOST_ARRIVALS:
        seconds = max(0.001, now.timestamp() - (rows[-1].id.int >> 80) / 1000)
    else:
        seconds = _WINDOW_SECONDS
    return {name: count / seconds for name, count in Counter(row.task_type for row in rows).items()}
