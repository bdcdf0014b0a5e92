"""Of a trouble that lasts, one line tells that it began."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from asyncflow import events
from asyncflow.errors import ConnectionSilentError, ServiceAwayError, ServiceRefusedError
from asyncflow.repeats import Repeats, is_expected


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class DriversOwn(type("OperationalError", (type("DatabaseError", (Exception,), {}),), {})):  # type: ignore[misc]
    """Be an error as PEP 249 wants drivers to name them, raised past SQLAlchemy."""


class PostgresOwnError(Exception):
    """Be an error of a PostgreSQL driver."""

    def __init__(self, state: str) -> None:
        super().__init__("whatever it says")
        self.sqlstate = state


AWAY: list[Exception] = [
    OperationalError("SELECT 1", {}, Exception("server has gone away")),
    OperationalError("SELECT 1", {}, Exception("connection refused")),
    ConnectionSilentError("nothing came"),
    DriversOwn("the connection is lost"),
    ConnectionResetError(104, "reset"),
    OperationalError("SELECT 1", {}, Exception(2003, "Can't connect to MySQL server")),
    OperationalError("SELECT 1", {}, Exception(2013, "Lost connection during query")),
    OperationalError("SELECT 1", {}, Exception(0, "")),
    OperationalError("SELECT 1", {}, PostgresOwnError("08006")),
    OperationalError("SELECT 1", {}, PostgresOwnError("57P01")),
    ServiceAwayError("it cannot be reached"),
]
REFUSALS: list[Exception] = [
    OperationalError("SELECT 1", {}, Exception(1142, "SELECT command denied")),
    OperationalError("SELECT 1", {}, Exception(1054, "Unknown column")),
    OperationalError("SELECT 1", {}, PostgresOwnError("53300")),
    ServiceRefusedError("the token is not known", status=401),
]


def failed(error: BaseException, loop: str = "monitor") -> events.StepFailed:
    return events.StepFailed(loop, error, 0.1)


def test_a_database_that_is_away_is_told_of_once_for_each_loop_whatever_it_says() -> None:
    repeats = Repeats(Clock())
    assert [repeats.take_in(failed(error)) for error in AWAY * 2] == [False] + [True] * (2 * len(AWAY) - 1)
    assert not repeats.take_in(failed(AWAY[1], "cleaner"))


@pytest.mark.parametrize("error", AWAY)
def test_that_it_is_away_needs_no_traceback(error: BaseException) -> None:
    assert is_expected(error)
    assert not is_expected(KeyError("a fault of ours"))


def test_another_trouble_is_told_of_beside_it() -> None:
    repeats = Repeats(Clock())
    assert not repeats.take_in(failed(AWAY[0]))
    assert not repeats.take_in(failed(KeyError("x")))
    assert not repeats.take_in(failed(IntegrityError("INSERT", {}, Exception("row 17 is there"))))
    assert repeats.take_in(failed(IntegrityError("INSERT", {}, Exception("row 18 is there"))))
    assert repeats.take_in(failed(AWAY[0]))


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_server_that_is_there_and_refuses_is_told_of_though_it_was_away_before(refusal: BaseException) -> None:
    repeats = Repeats(Clock())
    repeats.take_in(failed(AWAY[0]))
    assert [repeats.take_in(failed(refusal)) for _ in range(2)] == [False, True]


def test_what_is_over_is_told_of_when_it_comes_again() -> None:
    repeats, clock = Repeats(), Clock()
    assert not repeats.take_in(failed(AWAY[0]))
    assert not repeats.take_in(events.StepRecovered("monitor", 1))
    assert not repeats.take_in(failed(AWAY[0]))
    repeats = Repeats(clock)
    assert not repeats.take_in(failed(AWAY[0]))
    clock.now = 61
    assert not repeats.take_in(failed(AWAY[0]))


def test_a_breaker_tells_that_it_opens_and_that_it_is_closed_and_not_of_each_probe() -> None:
    def changed(state: str, topic: str | None = None) -> events.BreakerChanged:
        return events.BreakerChanged("kafka", state, 1.0, "", topic)

    repeats = Repeats(Clock())
    states = ["open", "half-open", "open", "half-open", "closed", "open"]
    assert [repeats.take_in(changed(state)) for state in states] == [False, True, True, True, False, False]
    assert not repeats.take_in(changed("open", "one topic"))


def test_rows_that_stay_locked_are_told_of_once() -> None:
    repeats, clock = Repeats(), Clock()
    repeats = Repeats(clock)
    assert [repeats.take_in(events.RowsLocked("kafka", count)) for count in (3, 5, 1)] == [False, True, True]
    clock.now = 61
    assert not repeats.take_in(events.RowsLocked("kafka", 3))


def test_a_crowd_has_room_for_a_hundred_lines_at_once_and_for_ten_a_second() -> None:
    clock = Clock()
    repeats = Repeats(clock)
    assert [repeats.room_in("coupon") for _ in range(102)] == [*range(100, 0, -1), 0, 0]
    assert repeats.room_in("invoice") == 100
    clock.now += 0.2
    assert [repeats.room_in("coupon") for _ in range(3)] == [2, 1, 0]
    clock.now += 3600
    assert repeats.room_in("coupon") == 100
