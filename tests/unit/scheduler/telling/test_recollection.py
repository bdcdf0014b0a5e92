"""What an instance has met lately is remembered while it matters, and forgotten when it is over."""

from __future__ import annotations

from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from asyncflow.events import BreakerChanged, ClaimsRanOut, RowsLocked, SettleFenced, StepFailed, StepRecovered
from asyncflow.scheduler.telling.recollection import Recollection


def at(seconds: list[float]) -> Recollection:
    return Recollection(lambda: seconds[0])


def test_an_open_breaker_keeps_its_error_and_its_beginning_through_all_probes() -> None:
    now = [100.0]
    lately = at(now)
    lately(BreakerChanged("kafka", "open", 0.5, "connection refused"))
    now[0] = 101.0
    lately(BreakerChanged("kafka", "half-open", 0.0, ""))
    (told,) = lately.breakers()
    assert (told.state, told.error, told.since) == ("half-open", "connection refused", 100.0)
    lately(BreakerChanged("kafka", "open", 5.0, "timed out"))
    (told,) = lately.breakers()
    assert (told.error, told.since, told.probe_at) == ("timed out", 100.0, 106.0)
    lately(BreakerChanged("kafka", "closed", 0.0, ""))
    assert lately.breakers() == []


def test_a_loop_that_fails_is_told_of_until_it_goes_well_again() -> None:
    lately = at([100.0])
    for _ in range(3):
        lately(StepFailed("relay-kafka", ValueError("it\nbroke"), 1.0))
    (told,) = lately.failing()
    assert (told.name, told.error, told.count) == ("relay-kafka", "ValueError: it broke", 3)
    lately(StepRecovered("relay-kafka", 3))
    assert lately.failing() == []


def test_what_was_met_an_hour_ago_is_forgotten() -> None:
    now = [100.0]
    lately = at(now)
    lately(SettleFenced("kafka", 4))
    lately(ClaimsRanOut("issue_coupon", 1, 1))
    lately(StepFailed("cluster", PoolTimeoutError("QueuePool limit"), 1.0))
    assert {one.name: one.count for one in lately.troubles()} == {"fenced": 4, "pool": 1}
    assert [(one.name, one.count) for one in lately.ran_out()] == [("issue_coupon", 2)]
    now[0] = 100.0 + 3601
    assert (lately.troubles(), lately.ran_out(), lately.failing()) == ([], [], [])


def test_locks_that_were_met_are_told_by_where_they_were_met() -> None:
    lately = at([100.0])
    for place, rows in (("kafka", 3), ("handlers", 1), ("kafka", 2)):
        lately(RowsLocked(place, rows))
    assert {one.name: one.count for one in lately.troubles()} == {"locked/kafka": 5, "locked/handlers": 1}


def test_a_fork_begins_with_nothing() -> None:
    lately = at([100.0])
    lately(SettleFenced("kafka", 4))
    lately.clear()
    assert lately.troubles() == []


def test_failures_that_are_over_are_no_row_of_failures() -> None:
    now = [100.0]
    lately = at(now)
    for _ in range(3):  # by what tells of no recovery, such as a second writer
        lately(StepFailed("relay-kafka", ValueError("it broke"), 1.0))
        assert [one.count for one in lately.failing()] == [1]
        now[0] += 2000.0
    assert lately.failing() == []


def test_a_count_of_the_last_hour_is_of_no_longer_time() -> None:
    now = [0.0]
    lately = at(now)
    for _ in range(3):
        lately(ClaimsRanOut("issue_coupon", 1, 0))
        now[0] += 3000.0
    assert [one.count for one in lately.ran_out()] == [1]
