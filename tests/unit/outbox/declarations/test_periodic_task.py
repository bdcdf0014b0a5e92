"""Periodic tasks: their declaration, and what becomes of due times that were missed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import MetaData

from asyncflow import Outbox, PeriodicTask
from asyncflow.errors import (
    InvalidArgumentsError,
    OptionError,
    PayloadNotSerializableError,
    UnknownOptionError,
    UnknownTaskTypeError,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def outbox() -> Outbox:
    outbox = Outbox(MetaData())

    @outbox.task
    def close_books(year: int, note: str = "") -> None: ...

    return outbox


def declare(outbox: Outbox, **options: Any) -> PeriodicTask:
    given = {"task": "close_books", "cron": "* * * * *", "arguments": {"year": 2026}, **options}
    return outbox.periodic(given.pop("task"), given.pop("cron"), **given)


def every_minute(misfire: Any, **options: Any) -> PeriodicTask:
    return PeriodicTask(name="n", task_type="t", cron="* * * * *", misfire=misfire, **options)


def advanced(task: PeriodicTask, late: timedelta) -> tuple[list[int], int]:
    """Return the minutes from noon that get a task, and the next one, when the noon's is looked at that late."""
    due_times, next_due = task.advance(task.plan, NOON, NOON + late)
    return [(due - NOON) // MINUTE for due in due_times], (next_due - NOON) // MINUTE


@pytest.mark.parametrize("misfire", ["once", "all", "skip"])
def test_a_due_time_that_was_not_missed_gets_its_task(misfire: str) -> None:
    assert advanced(every_minute(misfire), timedelta(seconds=0.01)) == ([0], 1)


def test_once_gives_the_missed_times_one_task_for_the_first() -> None:
    assert advanced(every_minute("once"), 10.5 * MINUTE) == ([0], 11)


def test_all_gives_each_missed_time_its_task() -> None:
    assert advanced(every_minute("all"), 3.5 * MINUTE) == ([0, 1, 2, 3], 4)


def test_all_takes_no_more_than_a_hundred_at_once() -> None:
    assert advanced(every_minute("all"), 500 * MINUTE) == (list(range(100)), 100)


def test_skip_drops_what_has_passed_by_more_than_the_grace() -> None:
    assert advanced(every_minute("skip"), 10.5 * MINUTE) == ([10], 11)
    assert advanced(every_minute("skip", grace_seconds=10), 10.5 * MINUTE) == ([], 11)
    assert advanced(every_minute("skip", grace_seconds=150), 10.5 * MINUTE) == ([8, 9, 10], 11)


@given(st.sampled_from(["once", "all", "skip"]), st.floats(0, 10**6), st.floats(0, 10**5))
def test_no_due_time_gets_two_tasks_and_none_gets_one_early(misfire: Any, late: float, grace: float) -> None:
    task = every_minute(misfire, grace_seconds=grace)
    now = NOON + timedelta(seconds=late)
    due, seen = NOON, []
    for _ in range(5):
        due_times, next_due = task.advance(task.plan, due, now)
        seen += due_times
        assert next_due > max([due, *due_times])
        if (due := next_due) > now:
            break
    assert seen == sorted(set(seen))
    assert all(time <= now for time in seen)


def test_a_handler_or_its_name_is_declared_with_the_types_name(outbox: Outbox) -> None:
    handler = outbox.handler_types["close_books"].handler
    assert handler is not None
    assert outbox.periodic(handler, "0 3 * * *", timezone="Europe/Berlin", arguments={"year": 1}) == PeriodicTask(
        name="close_books",
        task_type="close_books",
        cron="0 3 * * *",
        timezone="Europe/Berlin",
        arguments={"year": 1},
        misfire="once",
        grace_seconds=60.0,
    )
    assert list(outbox.periodic_tasks) == ["close_books"]


def test_one_handler_may_have_several_under_names_of_their_own(outbox: Outbox) -> None:
    declare(outbox)
    declare(outbox, name="other")
    with pytest.raises(OptionError, match=r"'other' is declared already; .*name="):
        declare(outbox, name="other")


def test_later_changes_of_the_arguments_do_not_reach_it(outbox: Outbox) -> None:
    arguments = {"year": 2026}
    task = declare(outbox, arguments=arguments)
    arguments["year"] = 1
    assert task.arguments == {"year": 2026}


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"cron": "* * * *"}, OptionError, "^cron is "),
        ({"cron": "0 0 31 4 *"}, OptionError, "never due"),
        ({"timezone": "Mars"}, OptionError, "^timezone is "),
        ({"misfire": "twice"}, OptionError, "give 'once', 'all' or 'skip'"),
        ({"grace_seconds": -1}, OptionError, "^grace_seconds is "),
        ({"grace_seconds": "1"}, OptionError, "^grace_seconds is "),
        ({"name": ""}, OptionError, "^name is "),
        ({"name": "n" * 101}, OptionError, "^name is "),
        ({"name": None}, OptionError, "^name is "),
        ({"arguments": {}}, InvalidArgumentsError, "needs year"),
        ({"arguments": {"year": "2026"}}, InvalidArgumentsError, "takes int"),
        ({"arguments": {"year": 1, "yeer": 2}}, InvalidArgumentsError, "no argument 'yeer'"),
        ({"arguments": [("year", 1)]}, InvalidArgumentsError, "give a dict"),
        ({"arguments": None}, InvalidArgumentsError, "give a dict"),
        ({"time_zone": "UTC"}, UnknownOptionError, "timezone"),
        ({"task": "close_book"}, UnknownTaskTypeError, "did you mean 'close_books'"),
    ],
)
def test_what_is_at_fault_is_refused_at_the_declaration(
    outbox: Outbox, options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        declare(outbox, **options)
    assert outbox.periodic_tasks == {}


def test_arguments_that_are_no_json_are_refused(outbox: Outbox) -> None:
    outbox.task("elsewhere")
    with pytest.raises(PayloadNotSerializableError):
        outbox.periodic("elsewhere", "* * * * *", arguments={"what": object()})
