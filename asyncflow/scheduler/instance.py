"""One running instance, as all of its parts know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Engine

from asyncflow.events import Hooks
from asyncflow.outbox import Outbox
from asyncflow.outbox.lines.limits import Limits
from asyncflow.scheduler.charts.minute_counts import MinuteCounts
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.loops.callers_loop import AtHome
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.task_queue import TaskQueue
from asyncflow.scheduler.telling.recollection import Recollection


@dataclass(frozen=True)
class Instance:
    """Hold what all parts of one instance are made with; lives as long as its scheduler."""

    outbox: Outbox
    engine: Engine
    settings: SchedulerSettings
    hooks: Hooks
    at_home: AtHome | None = None  # where coroutines run; None: on a loop of our own
    database_name: str = ""  # of one database among several that a scheduler serves
    queues: Mapping[str, TaskQueue] = field(default_factory=dict)  # by their names
    lately: Recollection = field(default_factory=Recollection)  # what it has met: one of the hooks
    counts: MinuteCounts = field(default_factory=MinuteCounts)  # for charts: one of the hooks

    def database(self, *, autocommit: bool = False) -> Database:
        """Return a connection for one loop, whose waits end well within the instance's lease."""
        return Database(self.engine, autocommit=autocommit, limits=Limits.within(self.settings.lease_seconds))
