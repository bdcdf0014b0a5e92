"""Lines stay within their field, and the numbers beside them are those of the chart."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from asyncflow.integrations.dashboard.figures.drawing import drawing_of, spark_of
from asyncflow.integrations.dashboard.figures.lines import HEIGHT, WIDTH, points_of
from asyncflow.scheduler.charts.charts import Chart, Charts, Span

BEGIN = datetime(2030, 1, 1, 3, 7, tzinfo=timezone.utc)


def chart(steps: int, **counts: list[int]) -> Chart:
    none = (0,) * steps
    given = {name: tuple(counts.get(name, none)) for name in ("sent", "done", "failed", "retried")}
    return Chart(task_type="mail.sent", **given)


def charts_of(one: Chart, span: Span) -> Charts:
    return Charts(begin=BEGIN, step_seconds=span.step_seconds, of_all=one, types=(), others=one)


def pairs(points: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (point.split(",") for point in points.split())]


@pytest.mark.parametrize("counts", [[0], [5], [0] * 480, [1, 10**9], list(range(480)), [3, 0, 0, 0, 7], [7, 7, 7]])
def test_a_line_stays_within_its_field_from_its_left_to_its_right(counts: list[int]) -> None:
    found = pairs(points_of(counts, max(counts)))
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in found)
    assert found[0][0] == 0
    if len(counts) > 1:
        assert found[-1][0] == WIDTH
    assert [x for x, _ in found] == sorted({x for x, _ in found})


def test_a_level_stretch_is_its_two_ends() -> None:
    assert len(pairs(points_of([0] * 480, 0))) == 2
    assert len(pairs(points_of([4, 0, 0, 0, 4], 4))) == 4


def test_nothing_is_drawn_of_nothing() -> None:
    assert points_of([], 0) == ""
    assert (spark_of([]).points, spark_of([]).total) == ("", 0)


@pytest.mark.parametrize("span", list(Span))
@pytest.mark.parametrize("group", [1, 3, 5])
def test_each_row_of_numbers_and_each_total_is_the_charts(span: Span, group: int) -> None:
    one = chart(span.steps, sent=list(range(span.steps)), failed=[1] * span.steps)
    drawing = drawing_of(charts_of(one, span), one, group=group)
    assert [line.name for line in drawing.lines] == ["sent", "failed"]
    for number, name in enumerate(("sent", "failed")):
        assert (
            sum(counts[number] for _, counts in drawing.rows) == sum(one.outcomes[name]) == drawing.lines[number].total
        )
    moments = [at for at, _ in drawing.rows]
    assert moments[0] == BEGIN
    assert drawing.end - BEGIN == timedelta(seconds=span.step_seconds * span.steps)
    assert len({later - earlier for earlier, later in pairwise(moments)}) <= 1


@pytest.mark.parametrize("span", list(Span))
def test_the_upper_edge_is_told_by_the_minute_whatever_a_point_stands_for(span: Span) -> None:
    one = chart(span.steps, done=[6 * span.step_seconds // 60] * span.steps)
    assert {drawing_of(charts_of(one, span), one, group=group).top for group in (1, 2, 3)} == {6}
