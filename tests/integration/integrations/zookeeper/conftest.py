"""Registries and schedulers of a test's own namespace, on an SQLite file: what they do with ZooKeeper is at stake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from asyncflow import Scheduler
from asyncflow.integrations.zookeeper import ZooKeeper
from asyncflow.integrations.zookeeper.registry import ZooKeeperRegistry
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.registry import Registry, View
from asyncflow.scheduler.cluster.rhythm import Rhythm
from tests.support.application import Application
from tests.support.ensemble import own_ensemble

JOB = "outbox"
ITEMS = 4
SESSION_SECONDS = 30.0  # more than the time for which a busy machine may stand: nobody dies but by our hand
HEARTBEAT_SECONDS = 0.2
LEASE_SECONDS = 600.0  # nothing of what is tested waits for it


class Place:
    """Make what knows of each other by one namespace, and end it."""

    def __init__(self, engine: Engine, session_seconds: float) -> None:
        self.application = Application(engine, shard_count=ITEMS)
        self.engine = engine
        self.ensemble = own_ensemble(session_timeout_seconds=session_seconds)
        self.made: list[Registry] = []
        self.schedulers: list[Scheduler] = []

    def by_database_alone(self, name: str) -> DatabaseRegistry:
        """Return a registry of an instance that has never heard of ZooKeeper."""
        return DatabaseRegistry(self.engine, self.application.outbox, name, Rhythm(LEASE_SECONDS, HEARTBEAT_SECONDS))

    def member(
        self, name: str, ensemble: ZooKeeper | None = None, changed: Callable[[], None] = lambda: None
    ) -> Registry:
        """Return a registry that has joined; by the whole ensemble, or by another way to it."""
        registry = (ensemble or self.ensemble).make(self.by_database_alone(name))
        assert isinstance(registry, ZooKeeperRegistry)
        self.made.append(registry)
        registry.join(JOB, ITEMS, is_candidate=True, changed=changed)
        registry.renew()
        return registry

    def scheduler(self, ensemble: ZooKeeper | None = None, **options: Any) -> Scheduler:
        """Return a scheduler."""
        options = {"lease_seconds": LEASE_SECONDS, "heartbeat_seconds": HEARTBEAT_SECONDS, **options}
        self.schedulers.append(self.application.scheduler(registry=ensemble or self.ensemble, **options))
        return self.schedulers[-1]


@pytest.fixture
def session_seconds() -> float:
    """Give how long whoever is silent counts as there; a module whose tests wait for that gives less."""
    return SESSION_SECONDS


@pytest.fixture
def place(sqlite_engine: Engine, session_seconds: float) -> Iterator[Place]:
    place = Place(sqlite_engine, session_seconds)
    yield place
    for scheduler in place.schedulers:
        scheduler.stop(timeout_seconds=10)
    for registry in place.made:
        registry.close()


def view(registry: Registry) -> View:
    return registry.views([JOB])[JOB]
