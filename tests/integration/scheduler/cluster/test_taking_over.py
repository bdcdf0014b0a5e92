"""What the database's registry does for one that hears of the dead elsewhere."""

from __future__ import annotations

from sqlalchemy import Engine

from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from tests.integration.scheduler.cluster.conftest import JOB, Realm, owned_by


def test_what_one_who_is_known_to_be_dead_leased_is_taken_over_and_nothing_of_the_living(engine: Engine) -> None:
    realm = Realm(engine)
    a, b, c = (realm.member(name) for name in "abc")
    a.acquire(JOB, [0, 1])
    c.acquire(JOB, [2])
    assert isinstance(b, DatabaseRegistry)
    b.take_over(JOB, [1, 2, 3], ["a", "x"])
    assert (owned_by(a), owned_by(b), owned_by(c)) == ({0: 1}, {1: 2}, {2: 1})
