"""Instances that share a job out among themselves, on one registry in memory and one clock."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncflow.errors import OptionError
from asyncflow.events import Hooks, MembersChanged, OwnershipChanged, ShardsHandedOver
from asyncflow.scheduler.cluster.allocation import Fixed, SharedOut
from asyncflow.scheduler.cluster.cluster import Cluster
from asyncflow.scheduler.cluster.membership import LeasedOwnership, News
from asyncflow.scheduler.cluster.registry import Holding, View
from asyncflow.scheduler.cluster.rhythm import Rhythm
from asyncflow.scheduler.cluster.strategies import minimal_movement
from asyncflow.testing import Signals

JOB, ITEMS, LEASE, HEARTBEAT = "send", 12, 6.0, 0.75


class World:
    """Keep members, owners and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.members: dict[str, float] = {}
        self.leaving: set[str] = set()
        self.owners: dict[int, tuple[str | None, int, float]] = dict.fromkeys(range(ITEMS), (None, 0, 0.0))
        self.instances: list[Instance] = []
        self.sent = self.answered = 0.0  # the seconds that a statement is under way, and its answer

    def instance(
        self, name: str, fixed: tuple[int, int] | None = None, heartbeat_seconds: float = HEARTBEAT
    ) -> Instance:
        self.instances.append(Instance(self, name, fixed, heartbeat_seconds))
        return self.instances[-1]

    def beat(self, times: int = 8) -> None:
        """Let some heartbeats pass, in which every instance that lives steps."""
        for _ in range(times):
            self.now += HEARTBEAT
            for instance in self.instances:
                if instance.lives:
                    instance.cluster.step()


class FakeRegistry:
    """Be the registry of one instance in the world."""

    def __init__(self, world: World, instance: str) -> None:
        self.instance = instance
        self.is_away = self.is_late = False
        self.renewals = 0
        self.locked: set[int] = set()
        self._world = world

    def join(self, job: str, item_count: int, *, is_candidate: bool, changed: Callable[[], None]) -> None:
        if is_candidate:
            self._world.members[self.instance] = self._end

    def views(self, jobs: Collection[str]) -> dict[str, View]:
        self._check()
        world = self._world
        world.now += world.sent
        members = [name for name, end in world.members.items() if end > world.now and name not in world.leaving]
        items = {item: Holding(owner, epoch, end - world.now) for item, (owner, epoch, end) in world.owners.items()}
        world.now += world.answered
        return {job: View(tuple(sorted(members)), items, is_late=self.is_late) for job in jobs}

    def renew(self) -> None:
        self._check()
        self.renewals += 1
        self._world.now += self._world.sent
        if self.instance in self._world.members:
            self._world.members[self.instance] = self._end
        for item, (owner, epoch, _) in self._world.owners.items():
            if owner == self.instance and item not in self.locked:
                self._world.owners[item] = (owner, epoch, self._end)
        self._world.now += self._world.answered

    def acquire(self, job: str, items: Collection[int]) -> None:
        for item in items:
            owner, _, end = self._world.owners[item]
            if owner is None or end <= self._world.now:
                self._give(item, self.instance)

    def seize(self, job: str, items: Collection[int]) -> None:
        for item in items:
            self._give(item, self.instance)

    def hand_over(self, job: str, items: Collection[int], successor: str) -> None:
        for item in items:
            if self._world.owners[item][0] == self.instance and successor not in self._world.leaving:
                self._give(item, successor)

    def retire(self, job: str) -> None:
        self._world.leaving.add(self.instance)

    def leave(self, job: str) -> None:
        self._world.members.pop(self.instance, None)
        for item, (owner, epoch, _) in self._world.owners.items():
            if owner == self.instance:
                self._world.owners[item] = (None, epoch, 0.0)

    def close(self) -> None: ...

    @property
    def _end(self) -> float:
        return self._world.now + LEASE

    def _give(self, item: int, owner: str) -> None:
        self._world.owners[item] = (owner, self._world.owners[item][1] + 1, self._end)

    def _check(self) -> None:
        if self.is_away:
            raise ConnectionError("the database is away")


class Instance:
    """Be one process of the world."""

    def __init__(self, world: World, name: str, fixed: tuple[int, int] | None, heartbeat_seconds: float) -> None:
        self.signals = Signals()
        self.lives = True
        self.registry = FakeRegistry(world, name)
        self.cluster = Cluster(
            self.registry, Rhythm(LEASE, heartbeat_seconds, lambda: world.now), Hooks([self.signals])
        )
        allocation = SharedOut(JOB, minimal_movement) if fixed is None else Fixed(name, *fixed)
        self.seen_gone: list[Collection[str]] = []
        news = News(on_view=lambda present, gone: self.seen_gone.append(gone))
        self.ownership: LeasedOwnership = self.cluster.ownership_of(JOB, ITEMS, allocation, news=news)
        self.ownership.acquire()

    @property
    def items(self) -> list[int]:
        return sorted(self.ownership.epochs())


def test_one_alone_owns_everything_at_once() -> None:
    assert World().instance("a").items == list(range(ITEMS))


def test_a_second_one_gets_its_half_and_nothing_is_owned_by_two() -> None:
    world = World()
    a, b = world.instance("a"), world.instance("b")
    world.beat(2)
    assert len(a.items) == len(b.items) == ITEMS // 2
    assert not set(a.items) & set(b.items)
    assert sum(len(event.shards) for event in a.signals.of(ShardsHandedOver)) == ITEMS // 2
    assert not any(event.lost for event in a.signals.of(OwnershipChanged))


def test_what_is_at_work_is_handed_over_when_it_is_done() -> None:
    world = World()
    a = world.instance("a")
    hold = a.ownership.in_use()
    b = world.instance("b")
    world.beat()
    assert b.items == []
    assert len(a.items) == ITEMS // 2
    hold.release()
    world.beat(2)
    assert len(b.items) == ITEMS // 2


def test_a_dead_ones_items_are_taken_over_when_its_lease_has_run_out() -> None:
    world = World()
    a, b, c = (world.instance(name) for name in "abc")
    world.beat()
    a.lives = False
    world.beat(int(LEASE / HEARTBEAT) + 1)
    assert len(b.items) == len(c.items) == ITEMS // 2
    assert b.signals.of(MembersChanged)[-1].members == ("b", "c")


def test_one_who_was_paused_past_its_lease_works_on_nothing_and_gets_a_new_share() -> None:
    world = World()
    a, b = world.instance("a"), world.instance("b")
    world.beat()
    a.lives = False
    world.beat(int(LEASE / HEARTBEAT) + 1)
    assert a.items == []
    assert len(b.items) == ITEMS
    a.lives = True
    world.beat(3)
    assert len(a.items) == len(b.items) == ITEMS // 2


def test_one_whose_registry_is_away_works_on_until_its_lease_ends_and_on_when_it_is_back() -> None:
    world = World()
    a = world.instance("a")
    world.beat(5)  # at the last of which it renews its lease
    a.registry.is_away = True
    for _ in range(int(LEASE / HEARTBEAT) - 3):
        with pytest.raises(ConnectionError):
            world.beat(1)
    assert len(a.items) == ITEMS
    for _ in range(4):
        with pytest.raises(ConnectionError):
            world.beat(1)
    assert a.items == []
    a.registry.is_away = False
    world.beat(2)
    assert len(a.items) == ITEMS


@pytest.mark.parametrize(("heartbeat", "late"), [(LEASE / 3, LEASE / 3), (0.7, LEASE / 3), (0.1, LEASE / 3 - 0.1)])
def test_one_late_heartbeat_costs_no_lease(heartbeat: float, late: float) -> None:
    world = World()
    one = world.instance("a", heartbeat_seconds=heartbeat)
    for number in range(30):
        world.now += heartbeat + 0.001 + (late if number % 10 == 9 else 0)
        assert len(one.items) == ITEMS
        one.cluster.step()


def test_what_an_instance_tells_goes_out_every_few_seconds_however_long_its_lease_is() -> None:
    world = World()
    registry = FakeRegistry(world, "a")
    cluster = Cluster(registry, Rhythm(600.0, 0.8, lambda: world.now), Hooks([]))
    cluster.ownership_of(JOB, ITEMS, SharedOut(JOB, minimal_movement)).acquire()
    before = registry.renewals
    for _ in range(75):  # a minute
        world.now += 0.8
        cluster.step()
    assert 10 <= registry.renewals - before <= 16


def test_one_whose_membership_is_not_seen_keeps_what_it_owns() -> None:
    world = World()
    a = world.instance("a")
    del world.members["a"]
    world.beat(int(LEASE / HEARTBEAT) * 2)
    assert len(a.items) == ITEMS


def test_one_whose_shards_are_renewed_is_present_though_its_membership_is_not_seen() -> None:
    world = World()
    a, b = world.instance("a"), world.instance("b")
    world.beat()
    b.seen_gone.clear()
    del world.members["a"]
    world.beat()
    assert b.seen_gone
    assert not any(b.seen_gone)
    assert a.items


def test_one_who_leaves_hands_everything_over_at_once() -> None:
    world = World()
    a, b = world.instance("a"), world.instance("b")
    world.beat()
    a.ownership.release()
    assert all(owner == "b" for owner, _, _ in world.owners.values())
    world.beat(1)
    assert len(b.items) == ITEMS


def test_the_last_one_leaves_its_items_without_an_owner() -> None:
    world = World()
    world.instance("a").ownership.release()
    assert {owner for owner, _, _ in world.owners.values()} == {None}


def test_a_fixed_share_is_seized_and_another_one_with_its_index_stands_by() -> None:
    world = World()
    first = world.instance("first", fixed=(0, 2))
    second = world.instance("second", fixed=(0, 2))
    world.beat()
    assert first.items == []
    assert second.items == list(range(0, ITEMS, 2))
    second.lives = False
    world.beat(int(LEASE / HEARTBEAT) + 1)
    assert first.items == list(range(0, ITEMS, 2))


def test_a_job_has_one_ownership_in_an_instance() -> None:
    a = World().instance("a")
    with pytest.raises(OptionError, match="the job 'send' is there already"):
        a.cluster.ownership_of(JOB, 3, SharedOut(JOB, minimal_movement))


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["join", "kill", "leave", "beat", "pause"]), max_size=25))
def test_whatever_happens_no_item_is_worked_on_by_two_and_none_is_forgotten(happenings: list[str]) -> None:
    world = World()
    world.instance("first")
    for number, happening in enumerate(happenings):
        living = [one for one in world.instances if one.lives]
        if happening == "join":
            world.instance(f"m{number}")
        elif happening == "kill" and len(living) > 1:
            living[0].lives = False
        elif happening == "leave" and len(living) > 1:
            living[-1].lives = False
            living[-1].ownership.release()
        else:
            world.beat(1)
        worked_on = [item for one in world.instances for item in one.items]
        assert len(worked_on) == len(set(worked_on))
    world.beat(3 * int(LEASE / HEARTBEAT))
    shares = [one.items for one in world.instances if one.lives]
    assert sorted(item for share in shares for item in share) == list(range(ITEMS))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_an_item_whose_lease_was_not_renewed_rests_until_it_is_and_the_others_go_on() -> None:
    world = World()
    a = world.instance("a")
    a.registry.locked = {3}
    world.beat(int(LEASE / HEARTBEAT) + 1)
    assert a.items == [item for item in range(ITEMS) if item != 3]
    a.registry.locked = set()
    world.beat(int(LEASE / HEARTBEAT))
    assert a.items == list(range(ITEMS))


def test_an_item_rests_from_the_moment_on_at_which_its_lease_ends_not_from_the_next_look_on() -> None:
    world = World()
    a = world.instance("a")
    owner, epoch, _ = world.owners[3]
    world.owners[3] = (owner, epoch, world.now + 0.3)
    a.ownership.refresh()
    assert a.items == list(range(ITEMS))
    world.now += 0.3
    assert a.items == [item for item in range(ITEMS) if item != 3]


def test_leases_that_are_late_where_they_are_kept_are_renewed_at_the_next_look() -> None:
    world = World()
    a = world.instance("a")
    before = a.registry.renewals
    world.beat(1)
    assert a.registry.renewals == before
    a.registry.is_late = True
    world.beat(1)
    assert a.registry.renewals == before + 1


late = st.floats(0, LEASE / 2)


@given(st.lists(st.tuples(late, late, st.sets(st.integers(0, ITEMS - 1))), max_size=8))
def test_nothing_is_worked_on_after_its_lease_however_late_the_answers_come(
    looks: list[tuple[float, float, set[int]]],
) -> None:
    world = World()
    a = world.instance("a")
    for world.sent, world.answered, a.registry.locked in looks:
        a.cluster.step()
        ends = {end for _, _, end in world.owners.values()} | {world.now}
        stepped_at = world.now
        for world.now in sorted(max(end, stepped_at) for end in ends):
            assert all(world.owners[item][2] > world.now for item in a.items)
        world.now = stepped_at + HEARTBEAT
