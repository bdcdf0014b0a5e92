"""Counts that no chart shows any more, and their end."""

from __future__ import annotations

import time

from sqlalchemy import Connection

from asyncflow.outbox import Outbox
from asyncflow.scheduler.charts import queries
from asyncflow.scheduler.charts.charts import KEPT_HOURS

_PAUSE_SECONDS = 600.0  # counts get old by the hour


class OldCharts:
    """Delete what was counted more than three days ago, a batch at each call; used by the cleaner's thread."""

    def __init__(self, outbox: Outbox) -> None:
        self._charts = outbox.charts
        self._rests_until = float("-inf")

    @property
    def are_due(self) -> bool:
        """Tell whether it is time to look for some; while there are any, it is."""
        return time.monotonic() >= self._rests_until

    def delete(self, connection: Connection, limit: int) -> int:
        """Delete up to ``limit`` rows, found by an unlocked read and deleted by primary key; return how many."""
        hour = int(queries.now(connection) // 3600) - KEPT_HOURS
        keys = [
            tuple(row) for row in connection.execute(queries.before(self._charts), {"its_hour": hour, "limit": limit})
        ]
        if keys:
            connection.execute(queries.delete_keys(self._charts, keys))
        if len(keys) < limit:
            self._rests_until = time.monotonic() + _PAUSE_SECONDS
        return len(keys)
