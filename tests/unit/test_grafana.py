"""The dashboard for Grafana keeps the rules of grafana/dashboard-linter, each of which is written here."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from asyncflow.conventions.counting import METRICS, MetricForm
from asyncflow.scheduler.diagnosis.kept_look import GAUGES
from tests.support.snippets import ROOT

BOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/dashboards/asyncflow.json").read_text(encoding="utf-8"))
VARIABLES = {one["name"]: one for one in BOARD["templating"]["list"]}
PANELS = BOARD["panels"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {"none", "short", "s", "percentunit", "ops"}
_SELECTOR = re.compile(r"\b(asyncflow_\w+)(\{[^}]*\})?")


def test_the_source_of_data_is_a_variable_of_that_label() -> None:
    source = VARIABLES["datasource"]
    assert (source["type"], source["query"], source["label"]) == ("datasource", "prometheus", "Data source")


@pytest.mark.parametrize(("name", "label"), [("job", "Job"), ("instance", "Instance")])
def test_jobs_and_instances_can_be_chosen_several_or_all(name: str, label: str) -> None:
    variable = VARIABLES[name]
    assert (variable["type"], variable["label"], variable["datasource"]) == ("query", label, SOURCE)
    assert variable["multi"]
    assert variable["includeAll"]
    assert variable["allValue"] == ".+"
    assert variable["refresh"] == 2  # when the time changes
    assert re.fullmatch(rf"label_values\(asyncflow_\w+(\{{job=~\"\$job\"\}})?, {name}\)", variable["query"])


def test_nobody_edits_a_dashboard_that_is_provisioned() -> None:
    assert BOARD["editable"] is False


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_in_which_unit_and_asks_the_chosen_source(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == SOURCE
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=lambda one: one if isinstance(one, str) else "")
def test_a_query_asks_for_metrics_that_there_are_of_the_chosen_jobs_and_instances(
    title: str, target: dict[str, Any]
) -> None:
    ends = {
        MetricForm.COUNTER: ("_total",),
        MetricForm.GAUGE: ("",),
        MetricForm.SECONDS: ("_seconds_bucket", "_seconds_count"),
    }
    there = {f"asyncflow_{name}{end}" for name, one in METRICS.items() for end in ends[one.form]}
    there |= {f"asyncflow_{name}" for name in GAUGES}
    found = _SELECTOR.findall(target["expr"])
    assert found
    for name, matchers in found:
        assert name in there
        assert 'job=~"$job"' in matchers
        assert 'instance=~"$instance"' in matchers


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=lambda one: one if isinstance(one, str) else "")
def test_a_counter_is_asked_for_its_rate_over_the_interval_that_fits_the_scrapes(
    title: str, target: dict[str, Any]
) -> None:
    expression = target["expr"]
    counters = re.findall(r"(\w*)\(?asyncflow_\w+_(?:total|bucket|count|sum)\{", expression)
    assert set(counters) <= {"rate", "increase"}
    assert re.findall(r"\[([^]]+)\]", expression) == ["$__rate_interval"] * len(counters)
    assert expression.count("(") == expression.count(")")


def test_no_two_panels_have_one_id_and_none_lies_over_another() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [
        (x, y)
        for panel in PANELS
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
