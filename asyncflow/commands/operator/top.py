"""``asyncflow top``: types, instances, charts and findings, again and again."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.diagnosis import doctor
from asyncflow.commands.diagnosis.language import Say, add_language_option, in_english, saying
from asyncflow.commands.operator import charts, instances, status
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import as_json
from asyncflow.commands.terminal.columns import width_of_tables, width_of_terminal
from asyncflow.errors import AsyncflowError
from asyncflow.outbox import Outbox
from asyncflow.outbox.options import require_number
from asyncflow.scheduler.charts.charts import Charts
from asyncflow.scheduler.charts.charts import charts as charts_of
from asyncflow.scheduler.diagnosis.diagnose import diagnose
from asyncflow.scheduler.diagnosis.finding import Finding
from asyncflow.scheduler.operator.instances import Instances, InstanceView
from asyncflow.scheduler.operator.report import Report, report
from asyncflow.text import on_one_line

_CLEAR = "\x1b[2J\x1b[H"  # of a terminal, and to its first line
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.5, 86_400
_TYPES_SHOWN = 5  # in charts


def add_to(commands: Any) -> None:
    """Add the command."""
    top = commands.add_parser("top", help="show types, instances and what is stuck, live, until Ctrl-C")
    add_database_options(top)
    top.add_argument("--interval", type=float, default=2.0, metavar="N", help="seconds (default: %(default)g)")
    add_language_option(top)
    top.add_argument("--once", action="store_true", help="show it once, and end")
    top.add_argument("--json", action="store_true", help="once, as a JSON object, for programs")
    top.set_defaults(command=_top)


def _top(options: argparse.Namespace) -> int:
    require_number("interval", options.interval, _SHORTEST_SECONDS, _LONGEST_SECONDS)
    database = database_of(options)
    if options.json:
        tell(as_json(seen(*database).plain()))
        return 0
    say = saying(options.language)
    if options.once:
        tell(render(seen(*database), say))
        return 0
    try:
        tell_now(render(seen(*database), say))  # a database that is not there from the first is an error
        while True:
            time.sleep(options.interval)
            tell_now(_view_or_error(*database, say))
    except KeyboardInterrupt:
        return 0


def _view_or_error(engine: Engine, outbox: Outbox, say: Say) -> str:
    """Return the view, or why there is none now: who watches wants to see when it comes back."""
    try:
        return render(seen(engine, outbox), say)
    except (AsyncflowError, SQLAlchemyError) as error:
        answer = on_one_line(getattr(error, "orig", None) or error)
        return f"{datetime.now(timezone.utc):%H:%M:%S}Z  the database cannot be looked at; asked again: {answer}"


def tell_now(view: str) -> None:
    """Show a view in place of the one before it; on a terminal, no more than has room."""
    if sys.stdout.isatty():
        sys.stdout.write(_CLEAR)
        view = fitted(view, shutil.get_terminal_size().lines)
    tell(view)
    sys.stdout.flush()


def fitted(view: str, rows: int) -> str:
    """Return the first lines of a view: the findings stand there, and must not leave the screen."""
    lines = view.split("\n")
    if len(lines) < rows:
        return view
    kept = max(1, rows - 2)
    return "\n".join([*lines[:kept], f"… and {len(lines) - kept} more lines; --once tells all"])


class TopView(NamedTuple):
    """Hold what is seen at one moment."""

    findings: Sequence[Finding]
    instances: Sequence[InstanceView]
    charts: Charts
    report: Report

    def plain(self) -> Mapping[str, Any]:
        """Return all of it for JSON."""
        return {**self._asdict(), "findings": [one.as_dict() for one in self.findings]}


def seen(engine: Engine, outbox: Outbox) -> TopView:
    """Look at everything."""
    return TopView(
        diagnose(engine, outbox),
        Instances(engine, outbox).all(),
        charts_of(engine, outbox, most=_TYPES_SHOWN),
        report(engine, outbox),
    )


def render(view: TopView, say: Say = in_english) -> str:
    """Return it as text for the terminal."""
    width = width_of_tables()
    return "\n\n".join(
        [
            doctor.render(view.findings, width_of_terminal(), say),
            instances.render(view.instances, width),
            charts.render(view.charts, width),
            status.render(view.report, width),
        ]
    )
