"""The same is looked at once, whoever asks; what was changed is looked at anew."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from asyncflow.integrations.dashboard.glances import Glances
from tests.support.main_thread import run_program


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """Count looks; used by the worker threads of one test."""

    def __init__(self) -> None:
        self.count = 0
        self.may_end = threading.Event()
        self.may_end.set()

    def __call__(self) -> int:
        assert self.may_end.wait(60)
        self.count += 1
        return self.count


async def test_fifty_who_ask_at_once_cost_one_look() -> None:
    glances, look = Glances(), Counted()
    look.may_end.clear()
    asked = [asyncio.create_task(glances.see("now", look, 600.0)) for _ in range(50)]
    await asyncio.sleep(0)
    look.may_end.set()
    assert set(await asyncio.gather(*asked)) == {1}
    assert look.count == 1


async def test_what_was_seen_is_kept_for_its_time_alone() -> None:
    clock, look = Clock(), Counted()
    glances = Glances(clock)
    seen = []
    for _ in range(21):
        seen.append(await glances.see("now", look, 10.0))
        clock.now += 1.0
    assert seen == [1] * 10 + [2] * 10 + [3]


async def test_different_things_are_looked_at_each() -> None:
    glances, look = Glances(), Counted()
    assert [await glances.see(what, look, 600.0) for what in ("a", "b", "a")] == [1, 2, 1]


async def test_whoever_asks_after_a_deed_sees_what_it_did() -> None:
    glances, look = Glances(), Counted()
    await glances.see("now", look, 600.0)
    assert await glances.do(lambda: "done") == "done"
    assert await glances.see("now", look, 600.0) == 2


async def test_a_look_that_fails_fails_for_all_who_wait_and_is_not_made_again_at_once() -> None:
    clock, looks = Clock(), []

    def look() -> None:
        looks.append(1)
        raise ValueError("gone")

    glances = Glances(clock)
    for _ in range(3):
        with pytest.raises(ValueError, match="gone"):
            await glances.see("now", look, 1.0)
    assert len(looks) == 1


async def test_who_goes_away_takes_nothing_from_the_others() -> None:
    glances, look = Glances(), Counted()
    look.may_end.clear()
    first, second = (asyncio.create_task(glances.see("now", look, 600.0)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    look.may_end.set()
    assert await second == 1


def test_several_event_loops_may_ask() -> None:
    glances, look = Glances(), Counted()
    assert {asyncio.run(glances.see("now", look, 600.0)) for _ in range(3)} == {1}


async def test_what_is_kept_is_bounded() -> None:
    glances, look = Glances(), Counted()
    for number in range(600):
        await glances.see(number, look, 600.0)
    assert len(glances._kept) <= 256


def test_the_child_of_a_fork_looks_for_itself() -> None:
    glances, look = Glances(), Counted()
    asyncio.run(glances.see("now", look, 600.0))
    child = os.fork()
    if child == 0:
        seen = asyncio.run(asyncio.wait_for(glances.see("now", look, 600.0), 60))
        os._exit(0 if seen == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_it_looks_and_lets_people_sign_in_when_the_main_thread_has_ended() -> None:
    program = """
    import asyncio
    from asyncflow.integrations.dashboard.door.sign_in import SignIn
    from asyncflow.integrations.dashboard.glances import Glances

    class NoUsers:
        def signed_in(self, name, password):
            return None

    glances, sign_in = Glances(), SignIn()

    async def look():
        assert await glances.see("now", lambda: 7, 1.0) == 7
        assert await glances.do(lambda: 8) == 8
        assert await sign_in.user(NoUsers(), "nobody", "secret", "127.0.0.1") is None

    def go_on():
        asyncio.run(look())
    """
    out, _, code = run_program(program, afterwards="go_on")  # it warns of the wrong password
    assert (out, code) == ("well\n", 0)
