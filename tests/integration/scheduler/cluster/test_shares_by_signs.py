"""Instances that give signs of life share out evenly however rarely they renew: nothing that happens leaves a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from asyncflow.errors import RegistryAwayError
from asyncflow.events import Hooks
from asyncflow.scheduler.cluster.allocation import SharedOut
from asyncflow.scheduler.cluster.cluster import Cluster
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.membership import LeasedOwnership
from asyncflow.scheduler.cluster.rhythm import Rhythm
from asyncflow.scheduler.cluster.signs.board_registry import BoardRegistry
from asyncflow.scheduler.cluster.signs.life_signs import LifeSigns
from asyncflow.scheduler.cluster.signs.sign_watch import SignSession
from asyncflow.scheduler.cluster.strategies import minimal_movement
from tests.integration.scheduler.cluster.conftest import ITEMS, JOB, LEASE_SECONDS, Realm
from tests.unit.scheduler.cluster.signs.test_signs import Wall

HEARTBEAT = 1.0
SESSION = SignSession(4.0)
LONG = 20  # heartbeats: several sessions, and a small part of a lease


class Crowd:
    """Keep instances on one board and one database; time passes for all by the test's hand, in heartbeats."""

    def __init__(self, engine: Engine) -> None:
        self.wall, self.realm = Wall(), Realm(engine)
        self.clusters: dict[str, Cluster] = {}
        self.ownerships: dict[str, LeasedOwnership] = {}

    def start(self, *names: str) -> None:
        for name in names:
            database = self.realm.registry(name, heartbeat=HEARTBEAT, clock=self.wall.clock)
            assert isinstance(database, DatabaseRegistry)
            registry = BoardRegistry(database, LifeSigns(self.wall, name, SESSION, self.wall.clock))
            cluster = Cluster(registry, Rhythm(LEASE_SECONDS, HEARTBEAT, self.wall.clock), Hooks())
            ownership = cluster.ownership_of(JOB, ITEMS, SharedOut(JOB, minimal_movement))
            ownership.acquire()
            self.clusters[name], self.ownerships[name] = cluster, ownership

    def stop(self, name: str) -> None:
        del self.clusters[name]
        self.ownerships.pop(name).release()

    def kill(self, name: str) -> None:
        del self.clusters[name], self.ownerships[name]

    def pass_over(self, seconds: float) -> None:
        """Let time pass in which nobody looks."""
        self.wall.now += seconds
        self.realm.set_clock(timedelta(seconds=seconds))

    def beat(self, times: int = 1) -> None:
        for _ in range(times):
            self.pass_over(HEARTBEAT)
            for cluster in self.clusters.values():
                cluster.step()

    def owners(self) -> dict[int, str | None]:
        """Return the owners, as the database has them."""
        shards = self.realm.outbox.shards
        with self.realm.engine.connect() as connection:
            return {row.shard: row.owner for row in connection.execute(select(shards.c.shard, shards.c.owner))}

    def shares(self) -> dict[str, int]:
        """Return how many items each may work on at this moment; no item is two's."""
        working = [item for ownership in self.ownerships.values() for item in ownership.epochs()]
        assert len(working) == len(set(working))
        return {name: len(ownership.epochs()) for name, ownership in self.ownerships.items()}


@pytest.fixture
def crowd(engine: Engine) -> Iterator[Crowd]:
    crowd = Crowd(engine)
    crowd.start("a", "b")
    crowd.beat(LONG)
    yield crowd
    for registry in crowd.realm.made:
        registry.close()


def test_who_comes_long_after_the_others_have_renewed_gets_its_share_and_no_more(crowd: Crowd) -> None:
    crowd.start("c")
    crowd.beat(4)
    assert crowd.shares() == {"a": 2, "b": 2, "c": 2}
    before = crowd.owners()
    crowd.beat(LONG)
    assert crowd.owners() == before


def test_who_takes_the_place_of_a_killed_one_leaves_it_nothing_and_no_shard_waits(crowd: Crowd) -> None:
    crowd.kill("b")
    crowd.beat()
    crowd.start("c")
    crowd.beat(6)  # a session and two heartbeats
    assert crowd.shares() == {"a": 3, "c": 3}


def test_who_is_dead_is_given_nothing_while_the_board_is_away_for_a_moment(crowd: Crowd) -> None:
    crowd.start("c")
    crowd.beat(LONG)
    crowd.kill("b")
    crowd.beat(6)
    crowd.wall.fault = RegistryAwayError("away")
    crowd.beat()
    crowd.wall.fault = None
    crowd.beat(LONG)
    assert crowd.shares() == {"a": 3, "c": 3}


def test_a_rolling_restart_leaves_each_shard_with_somebody_and_the_shares_even(crowd: Crowd) -> None:
    for old, new in (("a", "c"), ("b", "d"), ("c", "e"), ("d", "f")):
        crowd.stop(old)
        crowd.beat(2)
        assert sum(crowd.shares().values()) == ITEMS
        crowd.start(new)
        crowd.beat(4)
        assert sorted(crowd.shares().values()) == [3, 3]


def clock_forward(crowd: Crowd) -> None:
    """Set the database's clock forward by more than a session, and less than a lease."""
    crowd.realm.set_clock(timedelta(seconds=100))


def clock_far_forward(crowd: Crowd) -> None:
    """Set the database's clock forward past every lease."""
    crowd.realm.set_clock(timedelta(hours=1))


def clock_back(crowd: Crowd) -> None:
    crowd.realm.set_clock(timedelta(hours=-1))


def paused_database(crowd: Crowd) -> None:
    """Let nobody look for several sessions."""
    crowd.pass_over(SESSION.seconds * 5)


def new_board(crowd: Crowd) -> None:
    crowd.wall.signs.clear()


def board_away(crowd: Crowd) -> None:
    crowd.wall.fault = RegistryAwayError("away")
    crowd.beat(LONG)
    crowd.wall.fault = None


@pytest.mark.parametrize(
    "happens", [clock_forward, clock_far_forward, clock_back, paused_database, new_board, board_away]
)
def test_where_all_look_silent_at_once_all_keep_what_they_have(crowd: Crowd, happens: Callable[[Crowd], None]) -> None:
    before = crowd.owners()
    happens(crowd)
    for _ in range(LONG):
        crowd.beat()
        assert crowd.owners() == before
    assert crowd.shares() == {"a": 3, "b": 3}
    crowd.start("c")
    crowd.beat(4)
    assert crowd.shares() == {"a": 2, "b": 2, "c": 2}


def test_a_database_that_was_paused_past_every_lease_finds_an_owner_for_each_shard_again(crowd: Crowd) -> None:
    crowd.pass_over(LEASE_SECONDS * 2)
    crowd.beat()
    assert None not in crowd.owners().values()
    crowd.beat(LONG)
    assert crowd.shares() == {"a": 3, "b": 3}
