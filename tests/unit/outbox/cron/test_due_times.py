"""Due times in every time zone, beside a reference that walks the clock and shares no code with them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, available_timezones

import pytest

from asyncflow.outbox.cron.plan import Plan

Names = Callable[[datetime], bool]

DAY = timedelta(days=1)
QUARTER = timedelta(minutes=15)  # since 1972 every zone but Liberia's is whole quarters of an hour from UTC
FIRST, LAST = datetime(2018, 1, 1, tzinfo=timezone.utc), datetime(2028, 1, 1, tzinfo=timezone.utc)
ZONES = sorted(available_timezones() - {"localtime", "posixrules"})
ODD = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Asuncion",
    "America/Havana",
    "America/Santiago",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Chatham",
]

# Lines of which each due time is a whole quarter, as predicates over a local time.
LINES: dict[str, Names] = {
    "0 0 * * *": lambda wall: (wall.hour, wall.minute) == (0, 0),
    "30 2 * * *": lambda wall: (wall.hour, wall.minute) == (2, 30),
    "15,45 1-3 * * *": lambda wall: wall.hour in (1, 2, 3) and wall.minute in (15, 45),
    "0 * * * *": lambda wall: wall.minute == 0,
    "*/15 * * * *": lambda wall: True,
    "0 0,3,23 * * fri-mon": lambda wall: (
        wall.hour in (0, 3, 23) and wall.minute == 0 and wall.weekday() in (4, 5, 6, 0)
    ),
    "45 1 1,last * *": lambda wall: (
        (wall.hour, wall.minute) == (1, 45) and (wall.day == 1 or (wall.date() + DAY).day == 1)
    ),
    "0 12 29 2 *": lambda wall: (wall.month, wall.day, wall.hour, wall.minute) == (2, 29, 12, 0),
    "0 2 31 3,10 sun": lambda wall: (
        (wall.day, wall.hour, wall.minute) == (31, 2, 0) and wall.month in (3, 10) and wall.weekday() == 6
    ),
}


def walk(zone: tzinfo, start: datetime, end: datetime, step: timedelta = QUARTER) -> list[tuple[datetime, datetime]]:
    """Return each moment of [start, end) with what the clock shows then, or would had it not just been put forward."""
    shows: list[tuple[datetime, datetime]] = []
    moment = start - min(2 * DAY, 4000 * step)
    before = moment.astimezone(zone).utcoffset()
    while moment < end:
        shown = moment.astimezone(zone)
        offset = shown.utcoffset()
        assert offset is not None
        assert before is not None
        shows.append((moment, shown.replace(tzinfo=None)))
        left_out = moment
        while left_out < moment + (offset - before):
            shows.append((left_out, (left_out + before).replace(tzinfo=None)))
            left_out += step
        before = offset
        moment += step
    return [(moment, wall) for moment, wall in shows if start <= moment < end]


def walked(names: Names, shows: list[tuple[datetime, datetime]]) -> list[datetime]:
    return sorted({moment for moment, wall in shows if names(wall)})


def planned(line: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    plan, due = Plan(line, zone), []
    moment = plan.next_after(start - timedelta(microseconds=1))
    while moment < end:
        due.append(moment)
        moment = plan.next_after(moment)
    return due


def changes(zone: str, start: datetime = FIRST, end: datetime = LAST) -> Iterator[datetime]:
    """Yield the days on which the zone changes its clocks."""
    its, day = ZoneInfo(zone), start
    while day < end:
        if day.astimezone(its).utcoffset() != (day + DAY).astimezone(its).utcoffset():
            yield day
        day += DAY


def assert_as_walked(line: str, zone: str, start: datetime, end: datetime) -> None:
    assert planned(line, zone, start, end) == walked(LINES[line], walk(ZoneInfo(zone), start, end)), (line, zone, start)


@pytest.mark.parametrize("zone", ODD)
def test_every_line_is_due_as_the_clock_is_walked_around_its_changes(zone: str) -> None:
    around = list(changes(zone))
    for line in LINES:
        for day in random.Random(f"{zone} {line}").sample(around, min(4, len(around))):
            assert_as_walked(line, zone, day - 2 * DAY, day + 3 * DAY)


def test_a_change_in_each_zone_of_the_world_is_as_walked() -> None:
    for zone in random.Random(1).sample(ZONES, 150):
        chance = random.Random(zone)
        for day in chance.sample(around := list(changes(zone)), min(2, len(around))):
            assert_as_walked(chance.choice(list(LINES)), zone, day - DAY, day + 2 * DAY)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_ten_years_of_every_zone_are_as_walked() -> None:
    days = [FIRST + number * DAY for number in range((LAST - FIRST).days)]
    different = {tuple(day.astimezone(ZoneInfo(zone)).utcoffset() for day in days): zone for zone in ZONES}
    assert len(different) > 50
    for zone in different.values():
        shows = walk(ZoneInfo(zone), FIRST, LAST)
        for line, names in LINES.items():
            assert planned(line, zone, FIRST, LAST) == walked(names, shows), (line, zone)


def test_every_local_date_that_has_the_time_once_gets_it_once() -> None:
    for zone in random.Random(2).sample(ZONES, 10):
        its = ZoneInfo(zone)
        for hour, minute in ((0, 0), (2, 30), (23, 59)):
            due = planned(f"{minute} {hour} * * *", zone, FIRST, FIRST + 400 * DAY)
            dates = [moment.astimezone(its).date() for moment in due]
            for day in range(2, 395):
                that = date(2018, 1, 1) + day * DAY
                if _times_shown(its, datetime(that.year, that.month, that.day, hour, minute)) == 1:
                    at_it = [one for one, on in zip(due, dates, strict=True) if on == that]
                    exact = [
                        one for one in at_it if (shown := one.astimezone(its)).hour == hour and shown.minute == minute
                    ]
                    assert len(exact) == 1, (zone, that)


def _times_shown(zone: tzinfo, wall: datetime) -> int:
    """Return how often a clock shows the local time: never, once or twice."""
    moments = {wall.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc) for fold in (0, 1)}
    return sum(moment.astimezone(zone).replace(tzinfo=None) == wall for moment in moments)


@pytest.mark.parametrize("line", ["*/7 * * * * *", "59 59 1-3 * * *", "0-2 0 0 * * *", "13 30 2 * * sun"])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/Havana"])
def test_lines_of_seconds_are_as_walked(line: str, zone: str) -> None:
    second, minute, hour, *_, weekday = line.split()

    def names(wall: datetime) -> bool:
        return (
            (
                wall.second % 7 == 0
                if second == "*/7"
                else wall.second in (0, 1, 2)
                if second == "0-2"
                else wall.second == int(second)
            )
            and (minute == "*" or wall.minute == int(minute))
            and (hour == "*" or wall.hour in ({"1-3": (1, 2, 3)}.get(hour) or (int(hour),)))
            and (weekday == "*" or wall.weekday() == 6)
        )

    its = ZoneInfo(zone)
    for day in list(changes(zone))[:2]:
        hours = [day + timedelta(hours=hour) for hour in range(25)]
        offsets = [hour.astimezone(its).utcoffset() for hour in hours]
        change = next(hour for hour, offset in zip(hours, offsets, strict=True) if offset != offsets[0])
        start, end = change - timedelta(hours=2), change + timedelta(hours=2)
        assert planned(line, zone, start, end) == walked(names, walk(its, start, end, timedelta(seconds=1)))


def test_the_answer_is_the_same_from_any_moment_between_two_due_times() -> None:
    chance = random.Random(3)
    for zone in ODD:
        for line in LINES:
            day = chance.choice(list(changes(zone, FIRST, FIRST + 730 * DAY)) or [FIRST])
            plan = Plan(line, zone)
            last = plan.next_after(day - DAY)
            following = plan.next_after(last)
            assert following > last
            for _ in range(5):
                between = last + (following - last) * chance.random()
                assert plan.next_after(between) == following, (line, zone, between)
            assert plan.next_after(following - timedelta(microseconds=1)) == following


@pytest.mark.parametrize("line", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 31 nov wed"])
def test_a_line_that_no_month_can_serve_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="never due; give a day of the month"):
        Plan(line)
