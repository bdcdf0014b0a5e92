"""``asyncflow purge``: delete settled tasks before the cleaner would."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from asyncflow.commands.database import add_database_options, database_with_type
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.actor import add_actor_options
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.commands.terminal.columns import table, width_of_tables
from asyncflow.commands.terminal.consent import is_confirmed
from asyncflow.commands.terminal.progress import progress
from asyncflow.errors import OptionError, nearest
from asyncflow.outbox import Status
from asyncflow.scheduler.operator.by_hand.purge import Purge, Purgeable, Purger
from asyncflow.text import shown

_USAGE = 2
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_STATUSES = {status.name.lower(): status for status in (Status.SUCCESS, Status.FAILED, Status.CANCELLED)}


def add_to(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser(
        "purge",
        help="delete settled tasks that are older than so long, before the cleaner would",
        description="Shows what it would delete, and asks; without a terminal it deletes with --yes only.",
    )
    add_database_options(command)
    command.add_argument(
        "--older-than", required=True, metavar="AGE", help="since they were settled: 90s, 30m, 12h, 3d"
    )
    command.add_argument(
        "--status", nargs="+", action="extend", metavar="STATUS", help="success (default), failed, cancelled"
    )
    command.add_argument("--type", dest="task_type", metavar="NAME", help="of this task type; of all without")
    command.add_argument("--yes", action="store_true", help="do not ask")
    add_actor_options(command)
    add_json_option(command)
    command.set_defaults(command=_purge)


def _purge(options: argparse.Namespace) -> int:
    statuses = tuple(dict.fromkeys(map(_status_of, options.status or ["success"])))
    purge = Purge(older_than_seconds=age_of(options.older_than), statuses=statuses, task_type=options.task_type)
    purger = Purger(*database_with_type(options))
    if not options.yes:
        found = purger.preview(purge)
        tell(as_json(_plain(found)) if options.json else render(found, width_of_tables()))
        if not found.counts:
            return 0
        if options.json or not is_confirmed("delete them?"):
            tell("nothing was deleted; add --yes to delete them", sys.stderr if options.json else None)
            return _USAGE
    with progress("tasks deleted") as told:
        deleted = purger.run(purge, actor=options.actor, reason=options.reason, on_progress=told)
    tell(as_json({"deleted": deleted}) if options.json else f"{deleted} {'task' if deleted == 1 else 'tasks'} deleted")
    return 0


def _plain(found: Purgeable) -> dict[str, Any]:
    rows = [
        {"status": status.name, "task_type": name, "count": n} for (status, name), n in sorted(found.counts.items())
    ]
    return {"deleted": 0, "found": rows, "is_capped": found.is_capped}


def _status_of(name: str) -> Status:
    if name not in _STATUSES:
        known = ", ".join(_STATUSES)
        raise OptionError(f"--status is {shown(name)}{nearest(name, _STATUSES)}; give one or more of {known}")
    return _STATUSES[name]


def age_of(text: str) -> float:
    """Return the seconds of an age such as 90s, 30m, 12h or 3d; raises OptionError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if found is None:
        raise OptionError(f"--older-than is {shown(text)}; give a number with s, m, h or d, such as 3d")
    return float(found[1]) * _UNITS[found[2]]


def render(found: Purgeable, width: int | None) -> str:
    """Return what would be deleted as text, no wider than that, if there is a width."""
    rows = [(status.name, name, count) for (status, name), count in sorted(found.counts.items())]
    told = table(("STATUS", "TASK TYPE", "TASKS"), rows, width)
    return f"{told}\nand more" if found.is_capped else told
