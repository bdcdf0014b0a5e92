"""What holds of every registry whose instances give signs of life on a board, asked of each by inheritance."""

from __future__ import annotations

from asyncflow.errors import ForkedError
from tests.support.forking import Child
from tests.support.signing_instances import JOB, SESSION_SECONDS, Instances, view


class SignSuite:
    """Inherit these tests, in a class named ``Test...``, and give them a fixture ``instances``."""

    def expire(self, instances: Instances, name: str) -> None:
        """Let the board forget the signs of an instance, where it does so by a clock of its own."""

    def test_who_is_new_gives_nothing_to_one_who_died_before_it_came_though_its_leases_run(
        self, instances: Instances
    ) -> None:
        a, b = instances.member("a"), instances.member("b")
        a.acquire(JOB, [0, 1])
        view(a)
        self.expire(instances, "a")
        instances.let_pass(SESSION_SECONDS * 1.2, b)
        instances.renewed_last("a", SESSION_SECONDS * 1.2)
        assert view(b).members == ("b",)
        newcomer = instances.member("c")
        seen = view(newcomer)
        assert seen.members == ("b", "c")
        assert "a" not in seen.departed  # of whom it cannot tell yet
        instances.let_pass(SESSION_SECONDS * 1.2, b, newcomer)
        assert "a" in view(newcomer).departed
        assert view(newcomer).items[0].is_free

    def test_children_of_a_fork_are_instances_with_signs_of_their_own(self, instances: Instances) -> None:
        scheduler = instances.scheduler(instances.way())

        def seen_by_child() -> tuple[str, tuple[str, ...]]:
            scheduler.start()
            seen = scheduler.ownership.owner, view(scheduler.cluster.registry).members
            assert scheduler.stop()
            return seen

        children = [Child(seen_by_child).result() for _ in range(2)]
        assert [members for _, members in children] == [(owner,) for owner, _ in children]
        assert children[0] != children[1]

    def test_a_child_leaves_the_connection_of_its_parent_alone(self, instances: Instances) -> None:
        a = instances.member("a")
        scheduler = instances.scheduler(instances.way())
        scheduler.start()

        def in_child() -> bool:
            a.close()
            try:
                scheduler.start()
            except ForkedError:
                return scheduler.stop()
            return False

        assert Child(in_child).result()
        a.acquire(JOB, [])
        assert view(a).members == tuple(sorted(["a", scheduler.ownership.owner]))
