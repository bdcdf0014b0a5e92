from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import orjson
import pytest
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger
from hypothesis import given
from hypothesis import strategies as st

from asyncflow.errors import OptionError
from asyncflow.outbox.cron.fields import WEEKDAY
from asyncflow.scheduler.jobs.record import recorded
from asyncflow.scheduler.jobs.settings import JobSettings
from asyncflow.scheduler.jobs.sources import options_from_environment
from asyncflow.scheduler.loops.triggers import MachineTime, trigger_of

SUNDAY = datetime(2026, 3, 1)  # midnight, in the metronome's time zone
NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def fire_times(trigger: BaseTrigger, count: int, after: datetime = SUNDAY) -> list[datetime]:
    """Return the next times, without a time zone, from ``after`` on."""
    now = after.replace(tzinfo=timezone.utc)
    times: list[datetime] = []
    for _ in range(count):
        following = trigger.get_next_fire_time(times[-1] if times else None, now)
        times.append(following)
        now = following + timedelta(seconds=1)
    return [time.replace(tzinfo=None) for time in times]


def days(line: str, count: int) -> list[str]:
    """Return the weekdays on which a line fires, from a Sunday on."""
    return [time.strftime("%a").lower() for time in fire_times(trigger_of(line), count)]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("0", ["sun"]),
        ("7", ["sun"]),
        ("1", ["mon"]),
        ("6", ["sat"]),
        ("1-5", ["mon", "tue", "wed", "thu", "fri"]),
        ("0-7", list(NAMES)),
        ("5-7", ["sun", "fri", "sat"]),
        ("6-0", ["sun", "sat"]),
        ("fri-mon", ["sun", "mon", "fri", "sat"]),
        ("7-1", ["sun", "mon"]),
        ("*/2", ["sun", "tue", "thu", "sat"]),
        ("1-5/2", ["mon", "wed", "fri"]),
        ("1/2", ["mon", "wed", "fri"]),
        ("SAT,Sun", ["sun", "sat"]),
        ("0,7,sun", ["sun"]),
        ("7/2", ["sun", "tue", "thu", "sat"]),
        ("*/9", ["sun"]),
        ("mon,3,5-6", ["mon", "wed", "fri", "sat"]),
        ("*", list(NAMES)),
    ],
)
def test_a_weekday_field_fires_on_the_days_of_crontab(field: str, expected: list[str]) -> None:
    assert days(f"0 12 * * {field}", len(expected) + 1) == [*expected, expected[0]]


@given(st.integers(0, 7), st.integers(0, 7))
def test_any_range_of_weekdays_holds_its_ends_and_runs_forward(first: int, last: int) -> None:
    expected = {day % 7 for day in range(first, (last if last >= first else last + 7) + 1)}
    assert set(WEEKDAY.values(f"{first}-{last}")) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("*/5 * * * *", [SUNDAY + timedelta(minutes=minutes) for minutes in (0, 5, 10)]),
        ("30 4 * * *", [SUNDAY + timedelta(days=day, hours=4, minutes=30) for day in (0, 1, 2)]),
        ("0 0 1 jan *", [datetime(2027, 1, 1), datetime(2028, 1, 1)]),
        ("0 0 29 2 *", [datetime(2028, 2, 29), datetime(2032, 2, 29)]),
        ("0 0 last * *", [datetime(2026, 3, 31), datetime(2026, 4, 30), datetime(2026, 5, 31)]),
        ("0 0 15,LAST feb *", [datetime(2027, 2, 15), datetime(2027, 2, 28), datetime(2028, 2, 15)]),
        ("0 0 1 Nov-DEC/1 *", [datetime(2026, 11, 1), datetime(2026, 12, 1), datetime(2027, 11, 1)]),
        ("5/20 1 * * *", [SUNDAY + timedelta(hours=1, minutes=minutes) for minutes in (5, 25, 45)]),
        ("0 0-12/6 * * *", [SUNDAY + timedelta(hours=hours) for hours in (0, 6, 12, 24)]),
        ("0 0 13 * fri", [datetime(2026, 3, 13), datetime(2026, 11, 13), datetime(2027, 8, 13)]),
        ("0 0 29 2 mon", [datetime(2044, 2, 29), datetime(2072, 2, 29), datetime(2112, 2, 29)]),
        ("*/20 * * * * *", [SUNDAY + timedelta(seconds=seconds) for seconds in (0, 20, 40, 60)]),
        ("30 0 12 * * 0", [datetime(2026, 3, 1, 12, 0, 30), datetime(2026, 3, 8, 12, 0, 30)]),
        ("15,45 8-9 * * mon", [datetime(2026, 3, 2, 8, 15), datetime(2026, 3, 2, 8, 45), datetime(2026, 3, 2, 9, 15)]),
    ],
)
def test_a_line_fires_at_its_times(line: str, expected: list[datetime]) -> None:
    assert fire_times(trigger_of(line), len(expected)) == expected


def test_a_line_ticks_in_the_metronomes_time_zone_and_no_night_is_left_out() -> None:
    trigger, berlin = trigger_of("0 0 * * *"), ZoneInfo("Europe/Berlin")
    times = [datetime(2026, 3, 28, tzinfo=berlin)]
    for _ in range(3):
        times.append(trigger.get_next_fire_time(times[-1], times[-1]))
    assert [time.isoformat() for time in times[1:]] == [
        "2026-03-29T00:00:00+01:00",
        "2026-03-30T00:00:00+02:00",
        "2026-03-31T00:00:00+02:00",
    ]


@pytest.mark.parametrize("line", ["30 2 * * *", "0 */1 * * *"])
def test_the_time_of_a_machine_whose_zone_has_no_name_is_that_of_its_clock(line: str, own_time: None) -> None:
    trigger, berlin = trigger_of(line), ZoneInfo("Europe/Berlin")
    for month in (3, 10):  # clocks are put forward, and back, in its last week
        begin = datetime(2026, month, 24, tzinfo=timezone.utc)
        here = there = begin
        for _ in range(30):
            here = trigger.get_next_fire_time(here, here.astimezone(MachineTime()))
            there = trigger.get_next_fire_time(there, there.astimezone(berlin))
            assert here.isoformat() == there.isoformat()


def test_ticks_go_on_when_the_clock_is_put_back() -> None:
    trigger = trigger_of("*/10 * * * * *")
    now = SUNDAY.replace(tzinfo=timezone.utc)
    following = trigger.get_next_fire_time(now + timedelta(hours=1), now)
    assert following - now <= timedelta(seconds=10)


@pytest.mark.parametrize("seconds", [0.001, 1, 1.5, 86400])
def test_a_number_is_an_interval_in_seconds(seconds: float) -> None:
    trigger = trigger_of(seconds)
    assert isinstance(trigger, IntervalTrigger)
    assert trigger.interval == timedelta(seconds=seconds)
    assert trigger.interval_length == pytest.approx(seconds)


@pytest.mark.parametrize(
    "tick",
    [0, -1, True, None, float("nan"), float("inf"), 1e-9, 1e14, 1e300, [], timedelta(seconds=1), timezone.utc],
)
def test_a_number_out_of_bounds_is_refused_by_name(tick: object) -> None:
    with pytest.raises(OptionError, match=r"tick is .*give seconds"):
        trigger_of(tick)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * * *",
        "@hourly",
        "61 * * * *",
        "* 24 * * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * foo *",
        "50-10 * * * *",
        "* 22-2 * * *",
        "* * * nov-feb *",
        "*/60 * * * *",
        "* * 0 * *",
        "* * L * *",
        "* * 15W * *",
        "* * * * 5L",
        "* * * * 5#2",
        "* * ? * *",
        "mon * * * *",
        "1,,2 * * * *",
        "99999999999999999999 * * * *",
        "\u0661 * * * *",
    ],
)
def test_a_bad_line_is_refused_with_what_a_line_needs(line: str) -> None:
    with pytest.raises(OptionError, match="minute hour day month weekday"):
        trigger_of(line)


@pytest.mark.parametrize(
    "field",
    [
        "8",
        "-1",
        "1-",
        "mon-",
        "-5",
        "*/0",
        "*/",
        "1/",
        "1-5/-2",
        "1-5/x",
        "fun",
        "",
        "1,,2",
        "²",
        "?",
        "1-2-3",
        "mon-9",
    ],
)
def test_what_is_no_weekday_is_refused(field: str) -> None:
    with pytest.raises(OptionError, match="tick is"):
        trigger_of(f"0 0 * * {field or ','}")


def test_a_line_is_meant_in_the_local_time_of_its_zone_wherever_the_metronome_is() -> None:
    trigger = trigger_of("0 3 * * *", zone=ZoneInfo("America/New_York"))
    for here in ("UTC", "Asia/Tokyo", "Pacific/Kiritimati"):
        now = datetime(2026, 3, 1, 12, tzinfo=ZoneInfo(here))
        due = trigger.get_next_fire_time(None, now)
        assert due.astimezone(timezone.utc).strftime("%H:%M") == "08:00"


def test_a_job_has_a_time_zone_from_code_file_and_environment() -> None:
    settings = JobSettings.of(cron="0 3 * * *", timezone="Europe/Berlin")
    due = settings.trigger().get_next_fire_time(None, datetime(2026, 7, 1, tzinfo=timezone.utc))
    assert due.astimezone(timezone.utc).hour == 1
    assert orjson.loads(recorded(settings))["timezone"] == "Europe/Berlin"
    assert options_from_environment("report", {"ASYNCFLOW_JOB_REPORT_TIMEZONE": "UTC"}) == {"timezone": "UTC"}
    with pytest.raises(OptionError, match=r"timezone is 'Mars'.*IANA name"):
        JobSettings.of(cron="0 3 * * *", timezone="Mars")
