"""An hour of one process is bounded, however many types it has, and tells nothing twice."""

from __future__ import annotations

from typing import Any

from asyncflow.scheduler.charts.hour import ALL_TYPES, MOST_TYPES, Counted, Hour, minutes_from, text_of


def rows_of(hour: Hour) -> dict[Any, Any]:
    return {row["task_type"]: row for row in hour.rows()}


def test_of_ten_thousand_types_so_many_have_rows_and_all_are_in_the_sum() -> None:
    hour = Hour(1, {})
    hour.add([Counted(0, f"type.{number}", "done", number) for number in range(10_000)])
    hour.add([Counted(1, f"another.{number}", "done", 1) for number in range(10_000)])
    rows = rows_of(hour)
    assert len(rows) == MOST_TYPES + 1
    assert rows[ALL_TYPES]["total"] == sum(range(10_000)) + 10_000
    assert {f"type.{number}" for number in range(9_900, 10_000)} == rows.keys() - {ALL_TYPES}


def test_a_type_that_fails_is_named_before_those_that_are_busy() -> None:
    hour = Hour(1, {})
    busy = [Counted(0, f"busy.{number}", "done", 1000) for number in range(MOST_TYPES)]
    hour.add([*busy, Counted(0, "rare", "failed", 1)])
    assert "rare" in rows_of(hour)


def test_who_was_busy_in_the_hour_before_is_named_in_this_one() -> None:
    hour = Hour(2, {"known": 5000})
    hour.add(
        [*(Counted(0, f"other.{number}", "done", 9) for number in range(MOST_TYPES)), Counted(0, "known", "done", 1)]
    )
    assert "known" in rows_of(hour)


def test_only_what_changed_is_written_and_then_as_a_whole() -> None:
    hour = Hour(1, {})
    hour.add([Counted(0, "a", "done", 1), Counted(0, "b", "done", 1)])
    hour.note_written()
    hour.add([Counted(7, "b", "failed", 2)])
    rows = rows_of(hour)
    assert rows.keys() == {ALL_TYPES, "b"}
    assert minutes_from(rows["b"]["counts"]) == {"done": [1], "failed": [0] * 7 + [2]}
    assert rows["b"]["total"] == 3


def test_two_hours_of_one_process_never_meet_in_a_row() -> None:
    assert Hour(1, {}).writer != Hour(1, {}).writer


def test_a_text_fits_its_column_and_other_versions_texts_are_read_as_far_as_they_are_known() -> None:
    full = {name: [10**12] * 60 for name in ("sent", "done", "failed", "retried")}
    assert len(text_of(full)) < 16_000
    assert minutes_from('{"done":[1,2],"guessed":[3]}') == {"done": [1, 2]}
    assert minutes_from("no JSON") == {}
    assert minutes_from('{"done":["x"]}') == {}
    assert minutes_from("[]") == {}
