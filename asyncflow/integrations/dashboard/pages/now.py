"""*Now*: what is stuck and why, or that nothing is; and how each destination does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.figures.drawing import Spark, drawing_of, spark_of
from asyncflow.integrations.dashboard.page import PagePath, Seen, Values, WebPage
from asyncflow.outbox import Outbox
from asyncflow.scheduler.charts.charts import charts
from asyncflow.scheduler.diagnosis.diagnose import is_stuck, look_and_find
from asyncflow.scheduler.diagnosis.finding import Finding, in_order
from asyncflow.scheduler.diagnosis.flows import Flow, Flows, Lateness, hour_of, look_at_flows
from asyncflow.scheduler.diagnosis.sight import Sight
from asyncflow.scheduler.diagnosis.tables import findings_of_tables
from asyncflow.scheduler.telling.instance_state import ToldBreaker

_HANDLERS = "handlers"
_MOST_WAITING = 10
_SECONDS_OLD = 2.0  # as often as the pages ask
_TABLES, _TABLES_SECONDS = "tables", 60.0  # they change with a deployment
_CHARTS_SECONDS = 10.0  # they are written once a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationView:
    """Tell of one destination, or of the handlers: what is declared for it, what comes and goes, and what is known."""

    name: str
    types: int
    flow: Flow
    spark: Spark  # of the last hour
    breakers: Sequence[ToldBreaker]


def _look(desk: Desk, _: Values) -> Seen:
    if differing := _differing(desk):
        return {"sight": None, **_told(differing)}  # nothing else can be read
    try:
        return _seen(desk)
    except Exception:
        desk.kept.forget(_TABLES)  # which may be why: the next look tells
        if differing := _differing(desk):
            return {"sight": None, **_told(differing)}
        raise


def _differing(desk: Desk) -> Sequence[Finding]:
    """Return what is wrong with the tables; that nothing is, as good as always, is known for a minute."""
    look = partial(findings_of_tables, desk.engine, desk.outbox)
    return desk.kept.see(_TABLES, lambda: list(look()), _TABLES_SECONDS, keeps=lambda found: not found)


def _seen(desk: Desk) -> Seen:
    engine, outbox = desk.engine, desk.outbox
    sight, findings = look_and_find(engine, outbox)
    hour = desk.kept.see("hour", partial(hour_of, engine, outbox), _CHARTS_SECONDS)
    told = desk.kept.see("charts", partial(charts, engine, outbox, most=0), _CHARTS_SECONDS)
    flows = look_at_flows(engine, outbox, _lateness(sight), hour)
    return {
        "sight": sight,
        **_told(findings),
        "destinations": list(destinations(sight, flows, outbox)),
        "waiting": [(one, flows.of([one.task_type])) for one in sight.waiting[:_MOST_WAITING]],
        "drawing": drawing_of(told, told.of_all, group=5),
        "waiting_types": len(sight.waiting),
    }


def _told(findings: Sequence[Finding]) -> Seen:
    ordered = in_order(findings)
    return {"findings": [(one, _page_of(one)) for one in ordered], "is_stuck": is_stuck(ordered)}


def _lateness(sight: Sight) -> Lateness:
    deletes = any(state.settings.get("on_success") == "delete" for _, state in sight.states)
    return Lateness({one.task_type: one.seconds for one in sight.waiting}, deletes)


def destinations(sight: Sight, flows: Flows, outbox: Outbox) -> Iterator[DestinationView]:
    """Return what is known of each destination that is declared here, or that an instance cannot reach."""
    named: dict[str, list[str]] = {}
    for kind in outbox.task_types.values():
        named.setdefault(kind.destination, []).append(kind.name)
    breakers = [breaker for _, state in sight.states for breaker in state.breakers]
    for breaker in breakers:
        named.setdefault(breaker.destination, list(breaker.types))
    if handled := list(outbox.handler_types):
        named[_HANDLERS] = handled
    for name, types in sorted(named.items()):
        flow = flows.of(types)
        yield DestinationView(
            name=name,
            types=len(types),
            flow=flow,
            spark=spark_of(flow.minutes),
            breakers=_each_once(one for one in breakers if one.destination == name),
        )


def _each_once(breakers: Any) -> list[ToldBreaker]:
    return list({(one.destination, one.topic): one for one in breakers}.values())


_PAGES_OF = {"instance": "instances", "instances": "instances", "shards": "instances", "key": "keys"}


def _page_of(finding: Finding) -> str | None:
    """Return the page that tells more of what a finding concerns."""
    if finding.code.value == "dead-letters-new":
        return "letters"
    return "types" if finding.kind == "task type" else _PAGES_OF.get(finding.kind)


PAGES = (WebPage(place=PagePath(""), template="now.html", look=_look, seconds_old=_SECONDS_OLD),)
