"""What is promised on a board is had in new epochs before anybody works on it past the promise."""

from __future__ import annotations

from sqlalchemy import Engine

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
