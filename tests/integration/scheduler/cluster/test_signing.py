"""What is promised on a board is had in new epochs before anybody works on it past the promise."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sqlalchemy import Engine

from asyncflow.errors import RegistryAwayError
from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
from asyncflow.scheduler.cluster.signs.board_registry import BoardRegistry
from asyncflow.scheduler.cluster.signs.life_signs import LifeSigns
from asyncflow.scheduler.cluster.signs.sign_watch import SignSession
from tests.integration.scheduler.cluster.conftest import ITEMS, JOB, Realm, owned_by, view
from tests.unit.scheduler.cluster.signs.test_signs import Wall

SESSION = SignSession(6.0)


def signing(realm: Realm, wall: Wall, name: str) -> tuple[BoardRegistry, DatabaseRegistry]:
    database = realm.registry(name, clock=wall.clock)
    assert isinstance(database, DatabaseRegistry)
    made = BoardRegistry(database, LifeSigns(wall, name, SESSION, wall.clock))
    made.join(JOB, ITEMS, is_candidate=True, changed=lambda: None)
    return made, database


def test_what_others_take_by_an_old_sign_who_gave_it_does_not_work_on_when_it_is_back(engine: Engine) -> None:
    wall, realm = Wall(), Realm(engine)
    (a, _), (_, others) = (signing(realm, wall, name) for name in "ab")
    a.acquire(JOB, [0, 1])
    assert owned_by(a) == {0: 1, 1: 1}
    wall.now += 10.0
    assert owned_by(a) == {0: 2, 1: 2}  # seen before the others take
    others.take_over(JOB, [0, 1], ["a"], in_epochs={(0, 1), (1, 1)})
    assert owned_by(a) == {0: 2, 1: 2}
    assert 0 < view(a).rests_in_seconds <= SESSION.work_seconds


def test_what_is_locked_when_a_promise_runs_out_is_rested_from_until_it_is_had_in_a_new_epoch(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, realm = Wall(), Realm(engine)
    a, database = signing(realm, wall, "a")
    a.join("other", 1, is_candidate=True, changed=lambda: None)
    a.acquire(JOB, [0, 1])
    a.acquire("other", [0])
    a.views([JOB, "other"])
    wall.fault = RegistryAwayError("away")
    wall.now += 5.0
    take_over = database.take_over

    def past_a_lock(job: str, items: Any, dead: Any) -> None:
        take_over(job, set(items) - {1}, dead)

    with monkeypatch.context() as patched:
        patched.setattr(database, "take_over", past_a_lock)
        for _ in range(2):
            seen = view(a)
            assert {item: held.epoch for item, held in seen.items.items() if held.owner == "a"} == {0: 2, 1: 1}
            assert seen.rests_in_seconds < 0
            wall.now += 1.0
    assert owned_by(a) == {0: 2, 1: 2}
    assert view(a).rests_in_seconds == math.inf
    assert a.views(["other"])["other"].items[0].epoch == 2
