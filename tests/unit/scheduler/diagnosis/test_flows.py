"""What comes and goes, and how long what waits will take, told as far as it is known."""

from __future__ import annotations

from typing import Any

import pytest

from asyncflow.scheduler.charts.charts import Chart, rate_of
from asyncflow.scheduler.diagnosis.flows import Flow, Flows, Lateness


def chart(name: str, sent: int, done: int = 0) -> Chart:
    none = (0,) * 60
    return Chart(task_type=name, sent=(sent,) * 60, done=(done,) * 60, failed=none, retried=none)


def flows(*, waits: float = 60.0, deletes: bool = False, pending: int = 600, **more: Any) -> Flows:
    given = {"limit": 1000, "chart_of": {"mail": chart("mail", 120)}, "arrivals": {"mail": 1.0}, **more}
    return Flows(pending={"mail": pending}, lateness=Lateness({"mail": waits}, deletes), **given)


def test_what_lessens_is_drained_when_the_difference_has_done_it() -> None:
    flow = flows().of(["mail"])
    assert (flow.in_per_second, flow.out_per_second, flow.pending) == (1.0, 2.0, 600)
    assert flow.drained_seconds == 600.0
    assert not flow.is_capped


@pytest.mark.parametrize("arriving", [2.0, 5.0])
def test_what_does_not_lessen_has_no_estimate(arriving: float) -> None:
    assert flows(arrivals={"mail": arriving}).of(["mail"]).drained_seconds is None


def test_who_keeps_up_needs_no_estimate() -> None:
    flow = flows(waits=0.3).of(["mail"])
    assert not flow.is_behind
    assert flow.drained_seconds is None


def test_a_count_that_stopped_says_so_for_all_it_is_added_to() -> None:
    assert flows(pending=1000).of(["mail", "other"]).is_capped


def test_several_types_add_up_and_one_that_no_chart_names_is_nothing() -> None:
    both = {"mail": chart("mail", 60), "coupon": chart("coupon", 0, 120)}
    flow = flows(chart_of=both).of(["mail", "coupon", "unknown"])
    assert flow.out_per_second == 3.0
    assert list(flow.minutes) == [180] * 60


def test_no_types_flow_nowhere() -> None:
    flow = flows().of([])
    assert (flow.in_per_second, flow.out_per_second, list(flow.minutes), flow.drained_seconds) == (0, 0, [], None)


@pytest.mark.parametrize(("waits", "told"), [(1.0, 2.0), (120.0, 0.5)])
def test_of_rows_that_are_deleted_as_they_succeed_what_went_out_came_in(waits: float, told: float) -> None:
    flow = flows(waits=waits, deletes=True, arrivals={"mail": 0.5}).of(["mail"])
    assert flow.in_per_second == told


def test_a_minute_that_some_process_has_not_written_yet_is_left_out() -> None:
    counts = (60,) * 58 + (0, 0)
    none = (0,) * 60
    partly = Chart(task_type="mail", sent=counts, done=none, failed=none, retried=none)
    assert flows(chart_of={"mail": partly}).of(["mail"]).out_per_second == 1.0


@pytest.mark.parametrize(
    ("minutes", "rate"),
    [
        ([0] * 60, 0.0),
        ([0] * 59 + [60], 0.0),  # it began in this minute: nothing is told yet
        ([0] * 58 + [60, 6], 1.0),  # in the one before
        ([0] * 57 + [120, 60, 6], 2.0),  # the first that all have written
        ([0] * 55 + [120, 60, 0, 60, 6], 1.0),
        ([60] * 53 + [120] * 5 + [0, 0], 2.0),
        ([60] + [0] * 59, 0.0),
        ([], 0.0),
        ([7], 0.0),
    ],
)
def test_a_rate_is_of_the_minutes_since_counting_began_and_that_all_have_written(
    minutes: list[int], rate: float
) -> None:
    assert rate_of(minutes) == rate


def test_where_nothing_was_counted_yet_nothing_is_said_of_what_goes_out() -> None:
    assert not flows(chart_of={}).of(["mail"]).is_counted
    assert flows().of(["mail"]).is_counted


def test_a_flow_without_a_due_task_is_not_behind() -> None:
    assert not Flow(in_per_second=0, out_per_second=0, pending=0, is_capped=False, minutes=[]).is_behind
