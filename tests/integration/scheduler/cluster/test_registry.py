"""What every registry does: the conformance suite."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import event

from asyncflow.errors import ShardCountMismatchError
from tests.integration.scheduler.cluster.conftest import (
    ITEMS,
    JOB,
    LEASE_SECONDS,
    Realm,
    holding,
    on_all_registries,
    owned_by,
    view,
)
from tests.unit.scheduler.waiting import eventually

pytestmark = on_all_registries
ALL = range(ITEMS)
LONGEST = LEASE_SECONDS + 0.001  # SQLite tells days as floats


# -- members ---------------------------------------------------------------------------------------------


def test_those_who_join_are_seen_by_all_sorted(realm: Realm) -> None:
    seen = [realm.member(name) for name in ("b", "a", "c")]
    assert {view(registry).members for registry in seen} == {("a", "b", "c")}


def test_who_joins_twice_is_one_member(realm: Realm) -> None:
    realm.member("a")
    assert view(realm.member("a")).members == ("a",)


def test_who_is_no_candidate_is_no_member_and_may_own(realm: Realm) -> None:
    fixed = realm.member("fixed", is_candidate=False)
    fixed.acquire(JOB, [1])
    assert view(fixed).members == ()
    assert owned_by(fixed) == {1: 1}


def test_who_retires_is_a_candidate_no_more_and_keeps_its_items(realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, [0, 1])
    a.retire(JOB)
    assert view(b).members == ("b",)
    assert owned_by(a) == {0: 1, 1: 1}


def test_who_leaves_is_gone_and_its_items_are_free_in_their_epochs(realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, [0])
    a.leave(JOB)
    assert view(b).members == ("b",)
    assert holding(b, 0).is_free
    assert holding(b, 0).epoch == 1


def test_whose_lease_ran_out_is_no_member_until_it_renews(realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    realm.expire("a")
    assert view(b).members == ("b",)
    a.renew()
    assert view(b).members == ("a", "b")


def test_jobs_are_apart(realm: Realm) -> None:
    a = realm.member("a")
    a.join("other", 3, is_candidate=True, changed=lambda: None)
    a.acquire("other", [0])
    views = a.views([JOB, "other"])
    assert len(views[JOB].items) == ITEMS
    assert len(views["other"].items) == 3
    assert views[JOB].owners() == {}
    assert views["other"].owners() == {0: "a"}
    a.leave("other")
    assert a.views([JOB])[JOB].members == ("a",)


# -- items -----------------------------------------------------------------------------------------------


def test_at_first_nobody_owns_anything(realm: Realm) -> None:
    seen = view(realm.member("a"))
    assert sorted(seen.items) == list(ALL)
    assert {(held.owner, held.epoch) for held in seen.items.values()} == {(None, 0)}


def test_what_is_acquired_is_owned_for_a_lease_in_the_next_epoch(realm: Realm) -> None:
    a = realm.member("a")
    a.acquire(JOB, [2, 4])
    assert owned_by(a) == {2: 1, 4: 1}
    assert 0.9 * LEASE_SECONDS < holding(a, 2).seconds_left <= LONGEST
    assert view(a).owners() == {2: "a", 4: "a"}


def test_what_is_owned_counts_from_the_question_and_not_from_its_answer(realm: Realm) -> None:
    late, seconds = 20.0, itertools.count()
    now = 0.0

    def come_late(*_: object) -> None:
        nonlocal now
        now += late

    a = realm.registry("a", clock=lambda: now + next(seconds) * 1e-6)
    a.join(JOB, ITEMS, is_candidate=True, changed=lambda: None)
    a.acquire(JOB, [2])
    event.listen(realm.engine, "after_cursor_execute", come_late)
    assert 0.9 * LEASE_SECONDS < holding(a, 2).seconds_left <= LONGEST
    assert 0.9 * LEASE_SECONDS - late < holding(a, 2).seconds_left <= LONGEST - late
    a.renew()
    assert 0.9 * LEASE_SECONDS < holding(a, 2).seconds_left <= LONGEST


def test_what_another_owns_is_not_acquired(realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, [0])
    b.acquire(JOB, [0, 1])
    assert (owned_by(a), owned_by(b)) == ({0: 1}, {1: 1})


def test_what_a_dead_one_owned_is_acquired(realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, [0])
    realm.expire("a")
    assert holding(b, 0).is_free
    assert view(b).owners() == {}
    b.acquire(JOB, [0])
    assert (owned_by(a), owned_by(b)) == ({}, {0: 2})


def test_who_renews_too_late_keeps_what_nobody_took(realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, [0, 1])
    realm.expire("a")
    b.acquire(JOB, [1])
    a.renew()
    assert (owned_by(a), owned_by(b)) == ({0: 1 + realm.epochs_when_late}, {1: 2})
    assert not holding(a, 0).is_free


def test_what_is_seized_is_owned_whoever_owned_it(realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, ALL)
    b.seize(JOB, [0, 3])
    assert owned_by(b) == {0: 2, 3: 2}
    assert sorted(owned_by(a)) == [1, 2, 4, 5]


def test_what_is_handed_over_has_an_owner_at_every_moment(realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, ALL)
    a.hand_over(JOB, [1, 2], "b")
    assert owned_by(b) == {1: 2, 2: 2}
    assert not any(held.is_free for held in view(a).items.values())


def test_what_is_not_ones_own_is_not_handed_over(realm: Realm) -> None:
    a, b, c = (realm.member(name) for name in "abc")
    a.acquire(JOB, [0])
    b.hand_over(JOB, [0, 1], "c")
    assert owned_by(c) == {}
    assert owned_by(a) == {0: 1}


@pytest.mark.parametrize("goes", ["retire", "leave"])
def test_nothing_is_handed_over_to_one_who_goes(goes: str, realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, [0])
    getattr(b, goes)(JOB)
    a.hand_over(JOB, [0], "b")
    assert owned_by(a) == {0: 1}


def test_each_change_of_owner_raises_the_epoch_by_one_also_where_settles_are_fenced(realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, [0])
    a.hand_over(JOB, [0], "b")
    a.seize(JOB, [0])
    a.leave(JOB)
    b.acquire(JOB, [0])
    assert holding(b, 0).epoch == 4
    assert realm.fenced_epochs() == {0: 4, **dict.fromkeys(range(1, ITEMS), 0)}


def test_a_renewal_raises_no_epoch(realm: Realm) -> None:
    a = realm.member("a")
    a.acquire(JOB, ALL)
    a.renew()
    assert set(owned_by(a).values()) == {1}


@pytest.mark.usefixtures("patient_with_locks")
def test_of_many_who_acquire_at_once_each_item_has_one_owner(realm: Realm) -> None:
    members = [realm.member(f"m{number}") for number in range(8)]
    at_once([partial(one.acquire, JOB, ALL) for one in members])
    shares = [set(owned_by(one)) for one in members]
    assert sum(map(len, shares)) == ITEMS
    assert set().union(*shares) == set(ALL)
    assert set(realm.fenced_epochs().values()) == {1}


# -- the number of items ---------------------------------------------------------------------------------


def test_another_number_of_items_is_refused_with_the_recorded_one(realm: Realm) -> None:
    realm.member("a")
    for count in (ITEMS - 1, ITEMS + 1):
        with pytest.raises(ShardCountMismatchError, match=rf"'send' is {count}, but .* records {ITEMS}; use {ITEMS}"):
            realm.member("b", items=count)
    assert view(realm.member("c")).members == ("a", "c")


@pytest.mark.usefixtures("patient_with_locks")
def test_of_two_numbers_that_come_at_once_one_holds(realm: Realm) -> None:
    refused: list[int] = []

    def join(name: str, count: int) -> None:
        try:
            realm.member(name, items=count)
        except ShardCountMismatchError:
            refused.append(count)

    at_once([partial(join, name, count) for name, count in zip("abcd", (4, 7, 4, 7), strict=True)])
    kept = len(view(realm.registry("looker")).items)
    assert kept in (4, 7)
    assert set(refused) == {4, 7} - {kept}


def at_once(works: list[Callable[[], None]]) -> None:
    """Do all of it at the same time, and raise what any of them raises."""
    barrier, errors = threading.Barrier(len(works)), []

    def run(work: Callable[[], None]) -> None:
        barrier.wait(60)
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised by the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []


# -- the database's clock --------------------------------------------------------------------------------


def test_what_a_dead_one_leased_before_the_clock_was_set_back_is_free_a_lease_later(realm: Realm) -> None:
    lease = 1.0
    a, b = (realm.registry(name, lease) for name in "ab")
    for registry in (a, b):
        registry.join(JOB, ITEMS, is_candidate=True, changed=lambda: None)
    a.acquire(JOB, [0])
    realm.set_clock_back(lease)
    seen = view(b)
    assert seen.members == ("a", "b")
    assert not seen.items[0].is_free
    eventually(lambda: holding(b, 0).is_free)
    assert "a" not in view(b).members
    b.acquire(JOB, [0])
    assert owned_by(b) == {0: 2}


def test_who_renews_keeps_what_it_has_though_the_clock_was_set_back(realm: Realm) -> None:
    a, b = realm.member("a"), realm.member("b")
    a.acquire(JOB, [0])
    view(b)
    realm.set_clock_back(LEASE_SECONDS)
    a.renew()
    b.acquire(JOB, [0])
    assert owned_by(a) == {0: 1}
    assert not holding(b, 0).is_free


@pytest.mark.parametrize("step", [5.0, 3600.0, 86_400.0])
def test_a_newcomer_after_a_step_forward_takes_nothing_from_who_lives(realm: Realm, step: float) -> None:
    a = realm.member("a")
    a.acquire(JOB, [0])
    view(a)
    realm.set_clock(timedelta(seconds=LEASE_SECONDS - 10 + step))
    b = realm.member("b")
    seen = view(b)
    assert not seen.items[0].is_free
    assert "a" not in seen.departed
    assert view(a).is_late
    a.renew()
    assert view(a).is_late is False
    assert view(b).owners() == {0: "a"}
    assert view(b).members == ("a", "b")
    assert "a" in realm.members()


def test_a_newcomer_has_what_a_dead_one_left_long_ago_after_a_moment_of_doubt(realm: Realm) -> None:
    a = realm.registry("a", 3.0, 0.2)
    a.join(JOB, ITEMS, is_candidate=True, changed=lambda: None)
    a.acquire(JOB, [0])
    realm.set_clock(timedelta(hours=1))
    b = realm.registry("b", 3.0, 0.2)
    b.join(JOB, ITEMS, is_candidate=True, changed=lambda: None)
    assert view(b).members == ("b",)
    assert view(b).items[1].is_free
    eventually(lambda: view(b).items[0].is_free)
    assert view(b).departed == {"a"}
    b.acquire(JOB, [0])
    assert owned_by(b) == {0: 2}


def test_who_is_gone_for_long_is_forgotten_and_nobody_who_lives(realm: Realm) -> None:
    a, dead, gone = (realm.registry(name, 3.0, 0.2) for name in ("a", "dead", "gone"))
    for registry in (a, dead):
        registry.join(JOB, ITEMS, is_candidate=True, changed=lambda: None)
    realm.set_clock(timedelta(hours=1))
    gone.join(JOB, ITEMS, is_candidate=True, changed=lambda: None)
    b = realm.registry("b", 3.0, 0.2)
    b.join(JOB, ITEMS, is_candidate=True, changed=lambda: None)
    view(b)
    b.renew()
    assert realm.members() == {"a", "b", "dead", "gone"}
    a.renew()

    def is_forgotten() -> bool:
        view(b)
        b.renew()
        return "dead" not in realm.members()

    eventually(is_forgotten)
    assert realm.members() == {"a", "b", "gone"}
