"""Instances that give signs of life on a board, on an SQLite file; time passes for them by the test's hand."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, update

from asyncflow import Scheduler
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.registry import Registry, View
from asyncflow.scheduler.cluster.rhythm import Rhythm
from tests.support.application import Application

JOB = "outbox"
ITEMS = 4
SESSION_SECONDS = 60.0  # nobody waits for it
LEASE_SECONDS = 6000.0  # nothing of what is tested waits for it, however much time passes
_STEP_SECONDS = SESSION_SECONDS / 5


class Instances:
    """Make registries and schedulers that know of each other by one registry, whose session is SESSION_SECONDS."""

    def __init__(self, engine: Engine, registry: Any) -> None:
        self.application = Application(engine, shard_count=ITEMS)
        self.engine = engine
        self.registry = registry
        self.made: list[Registry] = []
        self.schedulers: list[Scheduler] = []
        self._passed = 0.0

    def by_database_alone(self, name: str) -> DatabaseRegistry:
        """Return a registry of an instance that has never heard of the board."""
        rhythm = Rhythm(LEASE_SECONDS, 0.2, lambda: time.monotonic() + self._passed)
        return DatabaseRegistry(self.engine, self.application.outbox, name, rhythm)

    def way(self, **changes: Any) -> Any:
        """Return another way to the same signs, or to the same names on another server."""
        return replace(self.registry, **changes)

    def member(self, name: str, registry: Any = None) -> Registry:
        """Return a registry that has joined."""
        made: Registry = (registry or self.registry).make(self.by_database_alone(name))
        self.made.append(made)
        made.join(JOB, ITEMS, is_candidate=True, changed=lambda: None)
        made.renew()
        return made

    def scheduler(self, registry: Any, **options: Any) -> Scheduler:
        """Return a scheduler."""
        self.schedulers.append(self.application.scheduler(registry=registry, lease_seconds=600.0, **options))
        return self.schedulers[-1]

    def let_pass(self, seconds: float, *looking: Registry) -> None:
        """Let time pass for all, and these look meanwhile."""
        for _ in range(round(seconds / _STEP_SECONDS)):
            for one in looking:
                view(one)
            self._passed += _STEP_SECONDS
        for one in looking:
            view(one)

    def renewed_last(self, name: str, seconds_ago: float) -> None:
        """Let an instance have renewed its membership so long ago, by the database's clock, and not since."""
        table = self.application.outbox.instances
        began, ends = timedelta(seconds=-seconds_ago), timedelta(seconds=LEASE_SECONDS - seconds_ago)
        with self.engine.begin() as connection:
            aged = update(table).where(table.c.instance == name).values(joined_at=began, lease_until=ends)
            assert connection.execute(aged).rowcount == 1

    def close(self) -> None:
        """End all."""
        for scheduler in self.schedulers:
            scheduler.stop(timeout_seconds=10)
        for registry in self.made:
            registry.close()


def view(registry: Registry) -> View:
    """Return what is seen of the job."""
    return registry.views([JOB])[JOB]


def owned(registry: Registry) -> dict[int, tuple[str | None, int]]:
    """Return owners and epochs, as the database has them."""
    return {item: (held.owner, held.epoch) for item, held in view(registry).items.items()}
