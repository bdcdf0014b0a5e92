"""Credits: what is handed over spends one, what is settled gives it back, and what is not heard of is looked for."""

from __future__ import annotations

from uuid import uuid4

from asyncflow.outbox import Task
from asyncflow.scheduler.queues.credits import Credits
from asyncflow.scheduler.queues.notes import held_by
from asyncflow.scheduler.worker.claiming.claim import Claim


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def claims(count: int, task_type: str = "issue") -> list[Claim]:
    return [
        Claim(Task(uuid4().bytes, task_type, 0, None, None, b"{}", 0, 3), uuid4(), None, None, 0.0)
        for _ in range(count)
    ]


def test_what_is_settled_gives_its_credit_back_once_and_each_type_has_its_own() -> None:
    credits_, mine = Credits(4), claims(3)
    credits_.spend(mine)
    credits_.spend(claims(4, "other"))
    assert (credits_.room_of("issue"), credits_.room_of("other"), credits_.room_of("new")) == (1, 0, 4)

    assert credits_.give_back(held_by(mine[:1]))
    assert not credits_.give_back(held_by(mine[:1]))
    assert not credits_.give_back(held_by(claims(1)))
    assert credits_.room_of("issue") == 2


def test_what_was_not_seen_held_for_a_while_is_in_doubt_as_long_as_credits_are_short() -> None:
    now = Clock()
    credits_, mine = Credits(4, now), claims(3)
    credits_.spend(mine)
    assert credits_.in_doubt(2.0) == []

    now.now += 3.0
    assert set(credits_.in_doubt(2.0)) == set(held_by(mine))
    credits_.seen(held_by(mine[:1]))
    assert set(credits_.in_doubt(2.0)) == set(held_by(mine[1:]))
    credits_.give_back(held_by(mine[1:]))
    now.now += 3.0
    assert credits_.in_doubt(2.0) == []  # plenty are left
