"""*Charts*: how many tasks came to which outcome, over eight hours or three days, of all types or of one."""

from __future__ import annotations

from collections.abc import Mapping

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.integrations.dashboard.figures.drawing import drawing_of
from asyncflow.integrations.dashboard.page import PagePath, Seen, Values, WebPage
from asyncflow.scheduler.charts.charts import Span, charts

_SPANS: Mapping[str, Span] = {"8h": Span.EIGHT_HOURS, "3d": Span.THREE_DAYS}
_MOST = 12  # types with a small chart of their own
_SMALL = {Span.EIGHT_HOURS: 5, Span.THREE_DAYS: 3}  # counts in a point of a small one
_SECONDS_OLD = 10.0  # the counts come once a minute


def _look(desk: Desk, values: Values) -> Seen:
    name = values.get("span", "8h")
    if name not in _SPANS:
        raise OptionError(f"span is {name!r:.60}; give one of {', '.join(_SPANS)}")
    span, wanted = _SPANS[name], values.get("type")
    told = charts(desk.engine, desk.outbox, span=span, types=None if wanted is None else [wanted], most=_MOST)
    of_types = [] if wanted is not None else [*told.types, told.others]
    return {
        "drawing": drawing_of(told, told.of_all if wanted is None else told.types[0]),
        "small": [drawing_of(told, one, group=_SMALL[span]) for one in of_types if any(one.totals.values())],
        "totals": [(one.task_type, one.totals) for one in of_types if any(one.totals.values())],
        "span": name,
        "spans": list(_SPANS),
        "wanted": wanted,
    }


PAGES = (
    WebPage(
        place=PagePath("charts"),
        template="charts.html",
        look=_look,
        asks=("span", "type"),
        seconds_old=_SECONDS_OLD,
        live_seconds=20,
    ),
)
