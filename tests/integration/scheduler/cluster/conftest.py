"""The registries that the conformance suite runs on; one that keeps members elsewhere is one more way to make them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, MetaData, select, update

from asyncflow import Outbox
from asyncflow.integrations.etcd import EtcdRegistry
from asyncflow.integrations.redis import RedisRegistry
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.registry import Holding, Registry, View
from asyncflow.scheduler.cluster.rhythm import Rhythm
from tests.support import etcd_registry, redis_registry
from tests.support.databases import NAMES
from tests.support.ensemble import expire, own_ensemble

LEASE_SECONDS = 600.0  # a tenth of which a test may stand still
_AN_HOUR = timedelta(hours=1)
JOB = "send"
ITEMS = 6


class Realm:
    """Make registries of instances that know of each other, and let leases run out without waiting."""

    epochs_when_late = 0  # by which one who renews too late has raised what nobody took meanwhile

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.made: list[Registry] = []
        self.outbox = Outbox(MetaData())
        self.outbox.tasks.metadata.create_all(engine)

    def registry(
        self,
        instance: str,
        lease_seconds: float = LEASE_SECONDS,
        heartbeat: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> Registry:
        self.made.append(DatabaseRegistry(self.engine, self.outbox, instance, Rhythm(lease_seconds, heartbeat, clock)))
        return self.made[-1]

    def member(self, instance: str, *, items: int = ITEMS, is_candidate: bool = True) -> Registry:
        registry = self.registry(instance)
        registry.join(JOB, items, is_candidate=is_candidate, changed=lambda: None)
        return registry

    def expire(self, instance: str) -> None:
        """Let all leases of an instance have run out."""
        shards, instances = self.outbox.shards, self.outbox.instances
        with self.engine.begin() as connection:
            for table, its in ((shards, shards.c.owner == instance), (instances, instances.c.instance == instance)):
                connection.execute(update(table).where(its).values(lease_until=-_AN_HOUR))

    def set_clock_back(self, lease_seconds: float) -> None:
        """Let all leases be as if the database's clock had been set back by an hour since they were written."""
        shards, instances = self.outbox.shards, self.outbox.instances
        ends = _AN_HOUR + timedelta(seconds=lease_seconds)
        with self.engine.begin() as connection:
            owned = update(shards).where(shards.c.owner.is_not(None))
            connection.execute(owned.values(acquired_at=_AN_HOUR, lease_until=ends))
            connection.execute(update(instances).values(joined_at=_AN_HOUR, lease_until=ends))

    def set_clock(self, step: timedelta) -> None:
        """Let all leases be as if the database's clock had been set by so much since they were written."""
        shards, instances = self.outbox.shards, self.outbox.instances
        both = ((shards, shards.c.acquired_at), (instances, instances.c.joined_at))
        with self.engine.begin() as connection:
            for table, began_at in both:
                keys = list(table.primary_key)
                rows = connection.execute(select(*keys, began_at, table.c.lease_until)).all()
                for *key, began, ends in rows:
                    if ends is None:
                        continue
                    its = [column == value for column, value in zip(keys, key, strict=True)]
                    now = datetime.now(timezone.utc)  # of this host, which is the database's
                    offsets = {began_at.name: began - step - now, "lease_until": ends - step - now}
                    connection.execute(update(table).where(*its).values(offsets))

    def members(self) -> set[str]:
        """Return whose memberships are recorded, whatever became of them."""
        with self.engine.connect() as connection:
            return set(connection.scalars(select(self.outbox.instances.c.instance)))

    def fenced_epochs(self) -> dict[int, int]:
        """Return the epochs by which settles are fenced."""
        shards = self.outbox.shards
        with self.engine.connect() as connection:
            rows = connection.execute(select(shards.c.shard, shards.c.epoch).where(shards.c.job == JOB))
            return {row.shard: row.epoch for row in rows}


def view(registry: Registry) -> View:
    return registry.views([JOB])[JOB]


def owned_by(registry: Registry) -> dict[int, int]:
    """Return the items that the registry's instance owns, with their epochs."""
    return {item: held.epoch for item, held in view(registry).items.items() if held.owner == registry.instance}


def holding(registry: Registry, item: int) -> Holding:
    return view(registry).items[item]


class ZooKeeperRealm(Realm):
    """The same, of instances that hear of each other by ZooKeeper: there a lease is a session besides."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._ensemble = own_ensemble(session_timeout_seconds=20.0)

    def registry(
        self,
        instance: str,
        lease_seconds: float = LEASE_SECONDS,
        heartbeat: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> Registry:
        database = super().registry(instance, lease_seconds, heartbeat, clock)
        assert isinstance(database, DatabaseRegistry)
        self.made.append(self._ensemble.make(database))
        return self.made[-1]

    def expire(self, instance: str) -> None:
        """Let the session of an instance have ended, as its silence would have it; its leases run on."""
        expire(self._ensemble, JOB, instance)


class SigningRealm(Realm):
    """The same, of instances that give signs of life on a board: who gives none is missed by the others' own clocks."""

    epochs_when_late = 1

    def __init__(self, engine: Engine, registry: RedisRegistry | EtcdRegistry) -> None:
        super().__init__(engine)
        self._registry = registry
        self._signing: dict[str, Registry] = {}
        self._clocks_ahead = 0.0

    def registry(
        self,
        instance: str,
        lease_seconds: float = LEASE_SECONDS,
        heartbeat: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> Registry:
        database = super().registry(instance, lease_seconds, heartbeat, lambda: clock() + self._clocks_ahead)
        assert isinstance(database, DatabaseRegistry)
        self.made.append(self._registry.make(database))
        self._signing[instance] = self.made[-1]
        return self.made[-1]

    def expire(self, instance: str) -> None:
        """Let the others have gone on for a session while this one, which has told what it has, was silent."""
        self._signing[instance].views([JOB])
        if isinstance(self._registry, EtcdRegistry):
            etcd_registry.expire(self._registry, JOB, instance)
        for _ in range(7):
            for name, other in self._signing.items():
                if name != instance:
                    other.views([JOB])
            self._clocks_ahead += self._registry.session_timeout_seconds * 0.2


def on_redis(engine: Engine) -> Realm:
    return SigningRealm(engine, redis_registry.own_registry(session_timeout_seconds=20.0))


def on_etcd(engine: Engine) -> Realm:
    return SigningRealm(engine, etcd_registry.own_registry(session_timeout_seconds=20.0))


REALMS: dict[str, Callable[[Engine], Realm]] = {
    "database": Realm,
    "zookeeper": ZooKeeperRealm,
    "redis": on_redis,
    "etcd": on_etcd,
}
# What is kept outside the database is looked at once, beside one of them.
on_all_registries = pytest.mark.parametrize(
    ("realm", "database_url"),
    [
        *(("database", name) for name in NAMES),
        ("zookeeper", "sqlite"),
        ("redis", "sqlite"),
        ("redis", "mariadb"),
        ("etcd", "sqlite"),
    ],
    indirect=True,
)


@pytest.fixture
def realm(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Realm]:
    realm = REALMS[request.param](engine)
    yield realm
    for registry in realm.made:
        registry.close()
