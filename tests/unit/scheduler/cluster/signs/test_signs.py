"""Who is silent is told by the clock of who looks; what a sign promised is rested from before others may take it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping

import pytest

from asyncflow.errors import RegistryAwayError, RegistryRefusedError
from asyncflow.scheduler.cluster.signs.board import HeldItems, Sign, held_of, held_text
from asyncflow.scheduler.cluster.signs.life_signs import LifeSigns
from asyncflow.scheduler.cluster.signs.sign_watch import SignSession

SESSION = SignSession(6.0)
JOB = "send"


class Wall:
    """Be a board that is there, and a clock; both change by the test's hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.fault: RegistryAwayError | None = None
        self.swallows_answers = False
        self.answers_after = 0.0
        self.before_held: Callable[[], object] = lambda: None
        self.signs: dict[str, dict[str, Sign]] = {}

    def clock(self) -> float:
        return self.now

    def exchange(self, instance: str, signs: Mapping[str, Sign]) -> dict[str, dict[str, str]]:
        if self.fault is not None:
            raise self.fault
        for job, sign in signs.items():
            self.signs.setdefault(job, {})[instance] = sign
        if self.swallows_answers:
            raise RegistryAwayError("no answer")
        self.now += self.answers_after
        return {job: {name: sign.text for name, sign in self.signs[job].items()} for job in signs}

    def held_by(self, job: str, signs: Mapping[str, str]) -> dict[str, HeldItems]:
        self.before_held()
        found = {name: self.signs[job][name] for name in signs}
        return {name: sign.held for name, sign in found.items() if sign.text == signs[name]}

    def take_down(self, job: str, instances: Collection[str]) -> None:
        for name in instances:
            self.signs[job].pop(name, None)

    def close(self) -> None: ...

    def leave_to_parent(self) -> None: ...


@pytest.fixture
def wall() -> Wall:
    return Wall()


def signs_of(wall: Wall, instance: str) -> LifeSigns:
    made = LifeSigns(wall, instance, SESSION, wall.clock)
    made.enter(JOB)
    return made


def test_who_gives_no_other_sign_for_a_session_is_silent_and_what_it_told_is_known(wall: Wall) -> None:
    a, b = signs_of(wall, "a"), signs_of(wall, "b")
    a.promise({JOB: {0: 3, 5: 1}})
    assert b.look() == {JOB: {}}
    for _ in range(2):
        wall.now += 2.9
        assert b.look() == {JOB: {}}
    wall.now += 0.3
    assert b.look() == {JOB: {"a": {0: 3, 5: 1}}}
    a.look()
    assert b.look() == {JOB: {}}


def test_of_a_silent_one_that_is_back_what_it_tells_by_then_is_not_taken_for_what_it_told(wall: Wall) -> None:
    a, b = signs_of(wall, "a"), signs_of(wall, "b")
    a.promise({JOB: {0: 3}})
    for _ in range(2):
        b.look()
        wall.now += 3.0

    def come_back() -> None:
        a.withdraw(JOB, {0: 4})
        a.promise({JOB: {0: 4}})

    wall.before_held = come_back
    assert b.look() == {JOB: {"a": {}}}


def test_who_saw_nothing_for_half_a_session_gives_everybody_a_whole_one_anew(wall: Wall) -> None:
    signs_of(wall, "a")
    b = signs_of(wall, "b")
    b.look()
    wall.now += 1000
    assert b.look() == {JOB: {}}
    for _ in range(3):
        wall.now += 1.9
        assert b.look() == {JOB: {}}
    wall.now += 1.0
    assert b.look() == {JOB: {"a": {}}}


def test_whose_only_sign_may_be_a_dead_ones_is_doubted_until_another_is_seen_or_the_database_knows(wall: Wall) -> None:
    a, b = signs_of(wall, "a"), signs_of(wall, "b")
    b.look()
    unheard = {"a": 7.0, "c": 7.0}
    assert b.doubtful(JOB, unheard) == {"a"}  # of c no sign is told: its leases are all that speaks of it
    assert b.doubtful(JOB, {"a": 6.0}) == frozenset()
    a.look()
    b.look()
    assert b.doubtful(JOB, unheard) == frozenset()
    for _ in range(3):
        wall.now += 2.0
        b.look()
    assert b.doubtful(JOB, unheard) == {"a"}
    wall.fault = RegistryAwayError("away")
    b.look()
    assert b.doubtful(JOB, unheard) == {"a"}  # as it was when the board answered last
    wall.now += 100.0
    assert b.doubtful(JOB, {"a": 100.5}) == {"a"}
    assert b.doubtful(JOB, {"a": 99.5}) == frozenset()  # it has renewed since


def test_what_is_told_is_worked_on_for_two_thirds_of_a_session_after_the_last_answer(wall: Wall) -> None:
    a = signs_of(wall, "a")
    assert a.rests_at == math.inf
    a.promise({JOB: {0: 1}})
    assert a.rests_at == 104.0
    wall.fault = RegistryAwayError("away")
    wall.now += 3.9
    assert a.look() == {}
    assert a.rests_at == 104.0
    assert a.overdue() == {}
    wall.now += 0.1
    assert a.overdue() == {JOB: {0: 1}}
    a.withdraw(JOB, {0: 1})
    assert a.rests_at == 104.0
    a.withdraw(JOB, {0: 2})
    assert a.rests_at == math.inf


@pytest.mark.parametrize("answers_after", [0.0, 1.0])
def test_a_sign_that_is_answered_when_the_promise_has_run_out_does_not_renew_it(
    wall: Wall, answers_after: float
) -> None:
    a = signs_of(wall, "a")
    a.promise({JOB: {0: 1}})
    wall.now += 4.0 - answers_after
    wall.answers_after = answers_after
    a.look()
    assert a.rests_at == 104.0
    a.promise({JOB: {0: 1, 1: 1}})
    assert a.overdue() == {JOB: {0: 1}}
    a.withdraw(JOB, {0: 2})
    wall.answers_after = 0.0
    a.promise({JOB: {0: 2}})
    assert a.overdue() == {}
    assert a.rests_at == 108.0


def test_who_held_nothing_for_long_may_work_on_what_it_promises_now(wall: Wall) -> None:
    a = signs_of(wall, "a")
    wall.now += 1000
    a.promise({JOB: {0: 1}})
    assert a.overdue() == {}
    assert a.rests_at == 1104.0


def test_a_board_that_is_away_is_promised_nothing(wall: Wall) -> None:
    a = signs_of(wall, "a")
    wall.fault = RegistryAwayError("away")
    a.look()
    wall.fault = None
    a.promise({JOB: {0: 1}})
    assert wall.signs[JOB]["a"].held == {}
    assert a.rests_at == math.inf
    wall.now += 1
    a.look()
    a.promise({JOB: {0: 1}})
    assert wall.signs[JOB]["a"].held == {0: 1}
    assert a.rests_at < math.inf


def test_a_promise_without_an_answer_holds(wall: Wall) -> None:
    a = signs_of(wall, "a")
    wall.swallows_answers = True
    a.promise({JOB: {0: 1}})
    assert wall.signs[JOB]["a"].held == {0: 1}
    assert a.rests_at == 104.0


def test_who_is_not_let_in_is_told_so_and_who_finds_nobody_goes_on(wall: Wall) -> None:
    wall.fault = RegistryRefusedError("NOAUTH")
    made = LifeSigns(wall, "a", SESSION, wall.clock)
    with pytest.raises(RegistryRefusedError):
        made.enter(JOB)
    wall.fault = RegistryAwayError("away")
    made.enter(JOB)
    wall.fault = None
    assert made.look() == {}  # not so soon
    wall.now += 1
    assert made.look() == {JOB: {}}


def test_who_leaves_takes_its_sign_down(wall: Wall) -> None:
    a = signs_of(wall, "a")
    a.leave(JOB)
    assert wall.signs == {JOB: {}}
    assert a.look() == {}


def test_what_is_held_is_told_as_text_and_what_is_not_ours_holds_nothing() -> None:
    assert held_text({3: 7, 0: 12}) == "0:12 3:7"
    assert held_of("0:12 3:7") == {0: 12, 3: 7}
    assert [held_of(text) for text in ("", "x", "1:2 3", "1:b")] == [{}] * 4
