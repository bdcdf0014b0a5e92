"""``asyncflow top``: types, instances, charts and findings, again and again."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from sqlalchemy import Engine

from asyncflow.commands import status
from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.diagnosis import doctor
from asyncflow.commands.operator import charts, instances
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.columns import width_of_terminal
from asyncflow.outbox import Outbox
from asyncflow.scheduler.charts import charts as counted
from asyncflow.scheduler.diagnosis.diagnose import diagnose
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.scheduler.operator.report import report

_CLEAR = "\x1b[2J\x1b[H"  # of a terminal, and to its first line
_SHORTEST_SECONDS = 0.5
_TYPES_SHOWN = 5  # in charts


def add_to(commands: Any) -> None:
    """Add the command."""
    top = commands.add_parser("top", help="show types, instances and what is stuck, live, until Ctrl-C")
    add_database_options(top)
    top.add_argument("--interval", type=float, default=2.0, metavar="N", help="seconds (default: %(default)g)")
    top.add_argument("--once", action="store_true", help="show it once, and end")
    top.set_defaults(command=_top)


def _top(options: argparse.Namespace) -> int:
    database = database_of(options)
    try:
        while True:
            view = render(*database)
            if sys.stdout.isatty() and not options.once:
                sys.stdout.write(_CLEAR)
            tell(view)
            sys.stdout.flush()
            if options.once:
                return 0
            time.sleep(max(_SHORTEST_SECONDS, options.interval))
    except KeyboardInterrupt:
        return 0


def render(engine: Engine, outbox: Outbox) -> str:
    """Return the view of this moment as text for the terminal."""
    width = width_of_terminal()
    return "\n\n".join(
        [
            doctor.render(diagnose(engine, outbox), width),
            instances.render(Instances(engine, outbox).all(), width),
            charts.render(counted.charts(engine, outbox, most=_TYPES_SHOWN), width),
            status.render(report(engine, outbox)),
        ]
    )
