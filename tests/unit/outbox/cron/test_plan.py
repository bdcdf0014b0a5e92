"""Plans: the due times of crontab lines in time zones."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.errors import OptionError
from asyncflow.outbox.cron.plan import Plan


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def due(plan: Plan, after: str, count: int) -> list[str]:
    moment, times = utc(after), []
    for _ in range(count):
        moment = plan.next_after(moment)
        times.append(moment.strftime("%m-%d %H:%M:%S"))
    return times


def test_a_due_time_is_after_the_moment_and_never_the_moment_itself() -> None:
    plan = Plan("*/5 * * * *")
    assert due(plan, "2026-03-01 12:00:00", 2) == ["03-01 12:05:00", "03-01 12:10:00"]
    assert due(plan, "2026-03-01 11:59:59.999999", 1) == ["03-01 12:00:00"]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/New_York"])
@pytest.mark.parametrize("moment", ["9999-12-31 23:59:59.999999", "9999-01-01 00:00:00", "0001-01-01 00:00:00"])
def test_a_moment_at_the_end_of_all_years_is_told_with_its_remedy(moment: str, zone: str) -> None:
    told = "moment is .*: cron '0 0 1 1 .' has no due time after it .*; give a moment of the years 2 to 9900"
    with pytest.raises(OptionError, match=told):
        Plan("0 0 1 1 *", zone).next_after(utc(moment))


def test_a_sixth_field_of_seconds_stands_first() -> None:
    assert due(Plan("*/20 0 12 * * *"), "2026-03-01 00:00:00", 3) == [
        "03-01 12:00:00",
        "03-01 12:00:20",
        "03-01 12:00:40",
    ]


def test_sunday_is_0_as_in_crontab() -> None:
    assert due(Plan("0 0 * * 0"), "2026-03-02 00:00:00", 1) == ["03-08 00:00:00"]


def test_the_line_is_meant_in_the_zones_local_time() -> None:
    assert due(Plan("0 9 * * *", "Asia/Tokyo"), "2026-03-01 12:00:00", 1) == ["03-02 00:00:00"]
    assert due(Plan("0 9 * * *", "America/New_York"), "2026-03-01 12:00:00", 1) == ["03-01 14:00:00"]


def test_a_time_that_the_change_to_summer_time_leaves_out_is_due_an_hour_later() -> None:
    plan = Plan("30 2 * * *", "Europe/Berlin")
    assert due(plan, "2026-03-28 00:00:00", 3) == ["03-28 01:30:00", "03-29 01:30:00", "03-30 00:30:00"]


def test_a_time_that_comes_twice_when_summer_time_ends_is_due_twice() -> None:
    plan = Plan("30 2 * * *", "Europe/Berlin")
    assert due(plan, "2026-10-24 12:00:00", 3) == ["10-25 00:30:00", "10-25 01:30:00", "10-26 01:30:00"]


def test_a_time_that_is_left_out_and_falls_on_another_due_time_is_due_once() -> None:
    plan = Plan("30 2,3 * * *", "Europe/Berlin")
    assert due(plan, "2026-03-28 12:00:00", 3) == ["03-29 01:30:00", "03-30 00:30:00", "03-30 01:30:00"]


def test_a_whole_day_that_a_zone_leaves_out_is_due_with_the_next() -> None:
    plan = Plan("0 12 * * *", "Pacific/Apia")  # the 30th of December 2011 did not exist
    assert due(plan, "2011-12-28 23:00:00", 3) == ["12-29 22:00:00", "12-30 22:00:00", "12-31 22:00:00"]


def test_the_night_after_clocks_were_put_forward_is_not_skipped() -> None:
    plan = Plan("0 0 * * *", "Europe/Berlin")
    assert due(plan, "2026-03-28 22:00:00", 3) == ["03-28 23:00:00", "03-29 22:00:00", "03-30 22:00:00"]


def test_every_half_hour_goes_on_through_the_changes() -> None:
    plan = Plan("*/30 * * * *", "Europe/Berlin")
    for night in ("2026-03-28 23:00:00", "2026-10-24 23:00:00"):
        moment = utc(night)
        for _ in range(10):
            following = plan.next_after(moment)
            assert following - moment == timedelta(minutes=30)
            moment = following


@given(
    st.sampled_from(["* * * * * *", "*/7 * * * *", "30 2 * * *", "0 0 1 * *", "15 4 * * fri", "0 0 29 2 *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(timezone.utc)),
)
def test_due_times_go_forward(line: str, zone: str, moment: datetime) -> None:
    plan = Plan(line, zone)
    first = plan.next_after(moment)
    second = plan.next_after(first)
    assert moment < first < second
    assert first.tzinfo is timezone.utc
    assert plan.next_after(first - timedelta(microseconds=1)) == first


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("* * * *", "of 4 fields; give a crontab line of 5 fields"),
        ("61 * * * *", "higher than the maximum"),
        ("a * * * *", "give a crontab line"),
        ("* * * * 8", "'8' is no weekday"),
        ("0 0 30 2 *", "never due"),
        ("", "empty"),
        (5, "not text"),
        (None, "not text"),
        ("0 " * 120, "characters"),
    ],
)
def test_a_bad_line_is_refused(line: Any, fault: str) -> None:
    with pytest.raises(OptionError, match=f"^cron is .*{fault}"):
        Plan(line)


@pytest.mark.parametrize("zone", ["Mars", "Europe", "../etc/passwd", "", "UTC ", None, 5, "CEST+2"])
def test_an_unknown_zone_is_refused(zone: Any) -> None:
    with pytest.raises(OptionError, match=r"^timezone is "):
        Plan("* * * * *", zone)


DAYS = st.sampled_from(["*", "13", "1,20", "last", "*/10"])
WEEKDAYS = st.sampled_from(["*", "fri", "sat-mon", "0,3"])


@given(DAYS, WEEKDAYS, st.sampled_from(["*", "feb-apr", "6-8"]), st.sampled_from(["or", "OR"]))
def test_with_or_one_of_day_and_weekday_is_enough_and_a_star_leaves_it_to_the_other(
    day: str, weekday: str, month: str, word: str
) -> None:
    line = Plan(f"0 3 {day} {month} {word} {weekday}")
    parts = [Plan(f"0 3 {one}") for one in (f"{day} {month} *", f"* {month} {weekday}")]
    is_either = "*" not in (day[0], weekday[0])
    moment = utc("2026-01-01 00:00:00")
    for _ in range(10):
        own, (by_day, by_weekday) = line.next_after(moment), (part.next_after(moment) for part in parts)
        assert own == (
            min(by_day, by_weekday) if is_either else Plan(f"0 3 {day} {month} {weekday}").next_after(moment)
        )
        moment = own


def test_a_line_with_or_may_have_seconds_and_nothing_else_is_taken_for_it() -> None:
    assert due(Plan("30 0 3 13 * or fri"), "2026-02-06 03:00:30", 3) == [
        "02-13 03:00:30",
        "02-20 03:00:30",
        "02-27 03:00:30",
    ]
    assert due(Plan("0 0 30 feb or mon"), "2026-01-01 00:00:00", 1) == ["02-02 00:00:00"]
    for line in ("0 3 13 or fri", "0 3 13 or * fri", "0 3 13 * fri or", "or fri", "0 3 13 * and fri", "0 3 13 * or"):
        with pytest.raises(OptionError):
            Plan(line)


def test_a_mistyped_time_zone_is_told_with_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"'Europe/Berln', which is not known here \(did you mean 'Europe/Berlin'"):
        Plan("0 3 * * *", "Europe/Berln")
