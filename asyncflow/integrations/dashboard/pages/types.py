"""*Task types*: what waits and fails of each, the options in force and where they come from; and their change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.door.person import Role
from asyncflow.integrations.dashboard.figures.drawing import Spark, spark_of
from asyncflow.integrations.dashboard.page import Deed, Form, PagePath, Seen, Values, WebPage
from asyncflow.scheduler import Configurations
from asyncflow.scheduler.charts.charts import Chart, Span, charts, rate_of
from asyncflow.scheduler.charts.hour import MOST_TYPES
from asyncflow.scheduler.configuration.type_config import OPTIONS
from asyncflow.scheduler.operator.audit import Act
from asyncflow.scheduler.operator.by_hand.option_changes import OptionChanges
from asyncflow.scheduler.operator.report import report

_COUNTING_SECONDS = 5.0
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionView:
    """Tell of one option: what is in force, and where that comes from."""

    name: str
    value: Any
    source: str  # table, declaration, or unknown: declared elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class HourOfType:
    """Tell of the last hour of one type: what was sent or done of it, and how many became dead letters."""

    per_second: float
    spark: Spark
    failed: int


def _look(desk: Desk, _: Values) -> Seen:
    state = report(desk.engine, desk.outbox)
    configs = Configurations(desk.engine, desk.outbox).all()
    known = {one.task_type: one for one in state.types}
    names = sorted({*known, *configs})
    return {
        "types": [(name, known.get(name), options_of(desk, name, configs.get(name))) for name in names],
        "limit": state.count_limit,
        "hours": hours_of(desk),
        "kinds": {name: _kind(desk, name) for name in names},
    }


def hours_of(desk: Desk) -> Mapping[str | None, HourOfType]:
    """Return the last hour of the types that the charts name, without a look at any task."""
    told = charts(desk.engine, desk.outbox, span=Span.ONE_HOUR, most=MOST_TYPES)
    return {one.task_type: _hour_of(one) for one in told.types}


def _hour_of(chart: Chart) -> HourOfType:
    minutes = [sent + done for sent, done in zip(chart.sent, chart.done, strict=True)]
    return HourOfType(per_second=rate_of(minutes), spark=spark_of(minutes), failed=sum(chart.failed))


def options_of(desk: Desk, name: str, config: Any) -> list[OptionView]:
    """Return the options of a type as they are in force."""
    declared = desk.outbox.handler_types.get(name) or desk.outbox.task_types.get(name)
    set_ones: Mapping[str, Any] = {} if config is None else config.options()
    found = []
    for option in OPTIONS:
        if option in set_ones:
            found.append(OptionView(name=option, value=set_ones[option], source="table"))
        elif hasattr(declared, option):
            found.append(OptionView(name=option, value=getattr(declared, option), source="declaration"))
        elif declared is None:
            found.append(OptionView(name=option, value=None, source="unknown"))
    return found


def _kind(desk: Desk, name: str) -> str:
    if name in desk.outbox.task_types:
        return "message"
    return "handler" if name in desk.outbox.handler_types else "declared elsewhere"


def _pause(desk: Desk, form: Form) -> str:
    _put(desk, form, "pause", {"enabled": False})
    return "types"


def _resume(desk: Desk, form: Form) -> str:
    _put(desk, form, "resume", {"enabled": True})
    return "types"


def _change(desk: Desk, form: Form) -> str:
    """Set the one option that the form names; empty: as declared."""
    option, text = form.one("option"), form.one("value")
    if option not in OPTIONS:
        raise OptionError(f"option is {option!r:.60}; give one of {', '.join(OPTIONS)}")
    _put(desk, form, "configure", {option: _parsed(text)})
    return "types"


def _put(desk: Desk, form: Form, action: str, options: Mapping[str, Any]) -> None:
    name = form.one("type")
    # A type that is declared in another process is none of this one's: its tasks tell that there is one.
    OptionChanges(desk.engine, desk.outbox).put(Act(action, form.person.name, form.reason), name, options)


def _parsed(text: str) -> Any:
    if not text:
        return None
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


PAGES = (WebPage(place=PagePath("types"), template="types.html", look=_look, seconds_old=_COUNTING_SECONDS),)
DEEDS = (
    Deed(place=PagePath("types/pause"), role=Role.OPERATOR, do=_pause),
    Deed(place=PagePath("types/resume"), role=Role.OPERATOR, do=_resume),
    Deed(place=PagePath("types/change"), role=Role.ADMIN, do=_change),
)
