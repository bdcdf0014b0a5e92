"""The writer of counts: what a process has counted becomes rows of its own, once a minute."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection

from asyncflow.events import Hooks, StepFailed
from asyncflow.outbox import Outbox
from asyncflow.scheduler.charts import queries
from asyncflow.scheduler.charts.hour import MINUTES, Counted, Hour
from asyncflow.scheduler.charts.minute_counts import SUCCEEDED, MinuteCounts, Slice
from asyncflow.scheduler.connections.again import run_again
from asyncflow.scheduler.connections.database import Database

_INTERVAL_SECONDS = 60.0
_HOURS_AT_WORK = 2  # this one, and the one before
_MOST_HOURS = 4  # that are kept in mind, while they cannot be written


class ChartWriter:
    """Write the counts of one process; one thread steps it.

    Each hour's rows are written as a whole, from what is in mind: so a write whose answer was lost is made again. The
    rows are this process's alone, and no other waits for them. What was counted since the last write dies with it.
    """

    def __init__(self, outbox: Outbox, database: Database, counts: MinuteCounts, hooks: Hooks) -> None:
        self._outbox = outbox
        self._database = database
        self._counts = counts
        self._hooks = hooks
        self._hours: dict[int, Hour] = {}
        self._taken: list[Slice] = []  # and in no hour yet
        # Each process at a moment of its own.
        self._due_at = time.monotonic() + _INTERVAL_SECONDS * random.uniform(0.1, 1)

    def step(self) -> float:
        """Write, if a minute has passed; return the seconds until the next time. Raises what the database raises."""
        if (seconds := self._due_at - time.monotonic()) > 0:
            return seconds
        self.write()
        self._due_at = time.monotonic() + _INTERVAL_SECONDS
        return _INTERVAL_SECONDS

    def write(self, *, insists: bool = True) -> None:
        """Write what was counted, if there is anything; what could not be written is kept for the next time.

        One that ``insists`` tries again after a lost connection.
        """
        self._taken += self._counts.take()
        if self._taken or any(hour.changed for hour in self._hours.values()):
            try:
                if insists:
                    run_again(self._database, self._write)
                else:
                    self._database.run(self._write)
            except BaseException:
                self._forget_but(_MOST_HOURS)
                raise
            finally:
                self._database.close()  # until the next minute others may have the connection
            for hour in self._hours.values():
                hour.note_written()
            self._forget_but(_HOURS_AT_WORK)

    def close(self) -> None:
        """Write the last counts; they are worth telling of, and no reason to call the end unclean."""
        try:
            self.write(insists=False)  # a stop waits for it
        except Exception as error:  # noqa: BLE001 - the database may be gone
            self._hooks.emit(StepFailed("charts", error, 0.0))

    def _write(self, connection: Connection) -> None:
        self._sort_in(queries.now(connection))
        for hour in self._hours.values():
            if rows := hour.rows():
                queries.write(connection, self._outbox.charts, rows, hour.begin_write())

    def _sort_in(self, now: float) -> None:
        """Put into their hours, by the database's clock, what was taken."""
        taken, self._taken = self._taken, []
        ahead = now - self._counts.now()
        by_hour: dict[int, list[Counted]] = {}
        for moment, counts in taken:
            number, minute = divmod(int(min(moment + ahead, now) // 60), MINUTES)
            counted = (Counted(minute, name, self._named(name, what), count) for (name, what), count in counts.items())
            by_hour.setdefault(number, []).extend(counted)
        for number, of_hour in sorted(by_hour.items()):
            self._hour(number).add(of_hour)

    def _hour(self, number: int) -> Hour:
        if number not in self._hours:
            latest: Iterable[Hour] = sorted(self._hours.values(), key=lambda hour: hour.number)[-1:]
            before: Mapping[str, int] = next((hour.totals for hour in latest), {})
            self._hours[number] = Hour(number, before)
        return self._hours[number]

    def _named(self, task_type: str, outcome: str) -> str:
        if outcome != SUCCEEDED:
            return outcome
        return "sent" if task_type in self._outbox.task_types else "done"

    def _forget_but(self, most: int) -> None:
        """Keep the latest hours in mind; of one that comes again there are further rows then."""
        for number in sorted(self._hours)[:-most]:
            del self._hours[number]
