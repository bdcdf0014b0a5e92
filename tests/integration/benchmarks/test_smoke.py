"""Each benchmark runs, on tiny tables; what it measures then means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import charts, report, watching
from benchmarks.__main__ import BENCHMARKS
from benchmarks.figure import Figure, Goal, at_least, faster, not_measured, shorter
from benchmarks.ground import NotReadyError
from benchmarks.plan import Plan

SMOKE = Plan(seconds=0.2, rows=1000)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_it_runs(name: str) -> None:
    try:
        figures = list(BENCHMARKS[name].measure(SMOKE))
    except NotReadyError as error:
        pytest.skip(str(error))
    assert figures
    for figure in figures:
        assert figure.goal is not None
        assert figure.value > 0 or figure.verdict == "not measured" or name == "idle"


@pytest.mark.parametrize("name", ["relay", "tasks"])
def test_it_runs_watched(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(watching.METRICS, "")  # put back afterwards
    monkeypatch.setenv(watching.TRACING, "")
    watching.watch(metrics=True, tracing=0.01)
    try:
        assert list(BENCHMARKS[name].measure(SMOKE))
    except NotReadyError as error:
        pytest.skip(str(error))


def test_a_verdict_tells_by_how_much_a_goal_is_missed() -> None:
    assert faster("a", [80, 90, 100], "b", [100, 100, 100], goal=at_least(0.9)).verdict == "met"
    assert faster("a", [45], "b", [100], goal=at_least(0.9)).verdict == "short by 50 %"
    assert shorter("a", [2.0], "b", [1.0], unit="ms", goal=at_least(1)).verdict == "short by 50 %"
    assert of_value(3.0, Goal(text="<= 2", most_value=2)).verdict == "short by 50 %"
    assert of_value(9.0, Goal(text=">= 10", least_value=10)).verdict == "short by 10 %"
    assert not_measured("a", "b", "why", at_least(1)).verdict == "not measured"


def test_what_falls_short_is_listed_with_its_cause_and_everything_is_drawn(tmp_path: Path) -> None:
    short = faster("slow", [45.0], "b", [100.0], goal=at_least(0.9), where="in the driver")
    results = {"relay": [short, of_value(1.0, Goal(text="<= 2", most_value=2))]}
    assert "1 of 2 fall short" in report.table(results)
    assert "relay, slow: short by 50 %; in the driver" in report.table(results)
    pytest.importorskip("matplotlib")
    assert [path.name for path in charts.draw(results, tmp_path)] == ["relay.svg"]


def of_value(value: float, goal: Goal) -> Figure:
    return Figure(name="a", value=value, unit="ms", beside="", beside_value=0, ratio=0, rounds=1, goal=goal)
