"""``asyncflow roll-over``: the numbered tables, looked at, and dropped when roll-over is left."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.actor import add_actor_options
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.commands.terminal.columns import table, width_of_tables
from asyncflow.commands.terminal.consent import is_confirmed
from asyncflow.outbox import Outbox
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator.audit import Act, Subject
from asyncflow.scheduler.upkeep.rolling.by_hand import NumberedTableView, TablesByHand

_LEFT, _USAGE = 1, 2


def add_to(commands: Any) -> None:
    """Add the command and its own commands ``show`` and ``drop``."""
    parser = commands.add_parser("roll-over", help="look at the numbered tables, drop them when roll-over is left")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    showing = actions.add_parser("show", help="show each numbered table, its rows, and since when it is what it is")
    dropping = actions.add_parser(
        "drop",
        help="drop all numbered tables and their positions, when no Outbox has roll_over any more",
        description="Shows what it would drop, and asks; without a terminal it drops with --yes only. Refuses while an "
        "instance rolls over. Exit codes: 0 all are gone, 1 some are left or an error, 2 not confirmed or wrong usage.",
    )
    for sub, run in ((showing, _show), (dropping, _drop)):
        add_database_options(sub)
        add_json_option(sub)
        sub.set_defaults(command=lambda options, run=run: run(options, *database_of(options)))
    add_actor_options(dropping)
    dropping.add_argument("--yes", action="store_true", help="do not ask")


def _show(options: argparse.Namespace, engine: Engine, outbox: Outbox) -> int:
    found = TablesByHand(engine, outbox).all()
    tell(as_json(_plain(found)) if options.json else render(found, width_of_tables()))
    return 0


def _drop(options: argparse.Namespace, engine: Engine, outbox: Outbox) -> int:
    tables = TablesByHand(engine, outbox)
    tables.require_left()
    found = tables.all()
    if found and not options.yes:
        tell(as_json({"dropped": [], "found": _plain(found)}) if options.json else render(found, width_of_tables()))
        if options.json or not is_confirmed("drop them, with all that is in them?"):
            tell("nothing was dropped; add --yes to drop them", sys.stderr if options.json else None)
            return _USAGE
    act, subject = Act("roll-over drop", options.actor, options.reason), Subject.of("roll-over", outbox.tasks.name)
    if found:
        run_briefly(engine, act.writing(outbox.audit_entries, subject, f"{len(found)} numbered tables"))
    gone = []
    for one in tables.drop():
        gone.append(one)
        if not options.json:
            tell(f"{one.table}  {'dropped' if one.left is None else f'left as it is: {one.left}'}")
    left = [one for one in gone if one.left is not None]
    if options.json:
        tell(as_json({"tables": [asdict(one) for one in gone], "is_left": bool(left)}))
    else:
        tell(f"{len(gone) - len(left)} dropped, {len(left)} left")
    return _LEFT if left else 0


def _plain(found: list[NumberedTableView]) -> list[dict[str, Any]]:
    return [asdict(one) for one in found]


def render(found: list[NumberedTableView], width: int | None) -> str:
    """Return the tables as text, no wider than that, if there is a width."""
    rows = [
        (one.table, one.state if one.is_there else f"{one.state}, missing", one.rows, _since(one.seconds))
        for one in found
    ]
    return table(("TABLE", "STATE", "ROWS", "FOR SECONDS"), rows, width)


def _since(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f}"
