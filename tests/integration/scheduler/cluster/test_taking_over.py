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


def test_of_what_a_dead_one_owns_only_that_is_taken_which_it_has_in_the_epochs_that_are_known(engine: Engine) -> None:
    realm = Realm(engine)
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, [0, 1, 2])
    a.seize(JOB, [1])
    assert isinstance(b, DatabaseRegistry)
    b.take_over(JOB, [0, 1, 3], ["a", "x"], in_epochs={(0, 1), (1, 1), (2, 1), (3, 0)})
    assert (owned_by(a), owned_by(b)) == ({1: 2, 2: 1}, {0: 2})
    b.take_over(JOB, [1], ["a"], in_epochs=())
    assert owned_by(a) == {1: 2, 2: 1}
