"""A session belongs to a process: the children of a fork have their own, and never end their parent's."""

from __future__ import annotations

from asyncflow.errors import ForkedError
from tests.integration.integrations.zookeeper.conftest import JOB, Place, view
from tests.support.forking import Child


def test_children_of_a_fork_are_instances_with_sessions_of_their_own(place: Place) -> None:
    scheduler = place.scheduler()

    def seen_by_child() -> tuple[str, tuple[str, ...]]:
        scheduler.start()
        seen = scheduler.ownership.owner, view(scheduler.cluster.registry).members
        assert scheduler.stop()
        return seen

    children = [Child(seen_by_child).result() for _ in range(2)]
    assert [members for _, members in children] == [(owner,) for owner, _ in children]
    assert children[0] != children[1]
    assert view(place.by_database_alone("looker")).members == ()


def test_a_child_leaves_the_session_of_its_parent_alone(place: Place) -> None:
    a = place.member("a")
    scheduler = place.scheduler()
    scheduler.start()

    def in_child() -> bool:
        a.close()
        try:
            scheduler.start()
        except ForkedError:
            return scheduler.stop()
        return False

    assert Child(in_child).result()
    assert view(place.member("b")).members == tuple(sorted(["a", "b", scheduler.ownership.owner]))
    a.acquire(JOB, [])
    assert view(a).rests_in_seconds > 0
