"""``asyncflow charts``: how many tasks were sent, done, given up and tried again, and how that went over time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine

from asyncflow.commands.database import add_database_options, database_of, require_known
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.commands.terminal.columns import table, width_of_tables
from asyncflow.outbox import Outbox
from asyncflow.scheduler.charts.charts import Chart, Charts, Span, charts

_HEADINGS = ("TASK TYPE", "SENT", "DONE", "FAILED", "RETRIED")
_SPANS = {"1h": Span.ONE_HOUR, "8h": Span.EIGHT_HOURS, "3d": Span.THREE_DAYS}
_BARS = "▁▂▃▄▅▆▇█"
_POINTS = 24  # of a line


def add_to(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("charts", help="show what was sent, done, given up and retried, over time")
    add_database_options(command, looks=True)
    add_json_option(command)
    command.add_argument("--span", choices=_SPANS, default="8h", help="of the last so long (default: %(default)s)")
    command.add_argument("--type", nargs="+", action="extend", dest="task_types", metavar="NAME", help="these types")
    command.add_argument("--most", type=int, default=20, metavar="N", help="or the busiest (default: %(default)s)")
    command.set_defaults(command=_charts)


def _charts(options: argparse.Namespace) -> int:
    engine, outbox = database_of(options)
    if options.task_types:
        require_known(options, engine, outbox, options.task_types, also=_charted(engine, outbox, options.task_types))
    found = charts(engine, outbox, span=_SPANS[options.span], types=options.task_types or None, most=options.most)
    tell(as_json(asdict(found)) if options.json else render(found, width_of_tables()))
    return 0


def _charted(engine: Engine, outbox: Outbox, names: Sequence[str]) -> list[str]:
    """Return those of the names that have counts; nobody need declare them any more, nor any row be left of them."""
    found = charts(engine, outbox, span=Span.THREE_DAYS, types=names)
    return [one.task_type for one in found.types if one.task_type and any(one.totals.values())]


def render(found: Charts, width: int | None) -> str:
    """Return the charts as text, no wider than that, if there is a width, each with its course in a line of bars."""
    hours = len(found.of_all.sent) * found.step_seconds // 3600
    rows = [_row(one.task_type or "", one) for one in found.types]
    if any(found.others.totals.values()):
        rows.append(_row("(others)", found.others))
    rows.append(_row("(all)", found.of_all))
    return table((*_HEADINGS, f"SENT AND DONE, {hours} H"), rows, width)


def _row(name: str, chart: Chart) -> list[object]:
    return [name, *chart.totals.values(), course([sum(pair) for pair in zip(chart.sent, chart.done, strict=True)])]


def course(counts: Sequence[int]) -> str:
    """Return counts as a line of bars, the highest for the most; what is nothing has the lowest."""
    size = max(1, len(counts) // _POINTS)
    sums = [sum(counts[start : start + size]) for start in range(0, len(counts), size)]
    most = max(sums, default=0)
    return "".join(_BARS[-(-one * (len(_BARS) - 1) // most) if most else 0] for one in sums)
