"""Work in place of the loops is done while its leases last, and not for ever where they never do."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow.errors import LeasesLostError
from asyncflow.events import Hooks
from asyncflow.scheduler.cluster.allocation import SharedOut
from asyncflow.scheduler.cluster.membership import LeasedOwnership, Stake
from asyncflow.scheduler.cluster.share import Share
from asyncflow.scheduler.jobs.settings import JobSettings


class Cluster:
    """Renew leases, the ``works``-th time that it is asked for."""

    class registry:  # noqa: N801
        instance = "a"

    def __init__(self, works: int) -> None:
        self._left = works

    def await_rest(self, one: LeasedOwnership) -> None:
        self._left -= 1
        if self._left == 0:
            one.share.last_until(float("inf"))


def ownership_by(cluster: Any) -> LeasedOwnership:
    stake = Stake("outbox", 4, SharedOut("outbox", JobSettings(cron=1.0).strategy()))
    made = LeasedOwnership(cluster, stake, Share(lambda: None), Hooks())
    made.take_part()
    return made


@pytest.mark.parametrize("works", [1, 3])
def test_work_is_done_again_until_its_leases_last(works: int) -> None:
    done: list[None] = []
    ownership_by(Cluster(works)).with_leases(lambda: done.append(None))
    assert len(done) == works + 1


def test_leases_that_never_last_are_told() -> None:
    done: list[None] = []
    with pytest.raises(LeasesLostError, match="longer lease_seconds"):
        ownership_by(Cluster(0)).with_leases(lambda: done.append(None))
    assert len(done) == 5


def test_who_has_left_meanwhile_has_done() -> None:
    done: list[None] = []
    one = ownership_by(Cluster(0))
    one.takes_part = False
    one.with_leases(lambda: done.append(None))
    assert len(done) == 1
