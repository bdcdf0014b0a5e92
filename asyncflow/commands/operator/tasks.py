"""``asyncflow tasks``: list, show, replay, cancel and discard tasks in whatever state they are."""

from __future__ import annotations

import argparse
from typing import Any

from sqlalchemy import Row

from asyncflow.commands.database import database_with_type
from asyncflow.commands.operator.dead_letters import add_action, add_changes, show
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import as_json
from asyncflow.commands.terminal.columns import table, width_of_tables
from asyncflow.outbox import Status
from asyncflow.outbox.look_up.cursor import cursor_of
from asyncflow.outbox.look_up.task_rows import Filter, TaskPage
from asyncflow.outbox.options import require_whole
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator.task_view import TaskView

_STATUSES = {status.name.lower(): status for status in Status}
_HEADINGS = ("TASK", "STATUS", "TASK TYPE", "KEY", "TRIES", "DUE (UTC)", "CHANGED (UTC)")
_MOST = 1000


def add_to(commands: Any) -> None:
    """Add the command and its own commands."""
    tasks = commands.add_parser("tasks", help="look at tasks, replay, cancel or discard them")
    actions = tasks.add_subparsers(required=True, metavar="ACTION")
    listing = add_action(actions, "list", "show tasks, page by page, in the order in which they are read", _list)
    listing.add_argument("--type", dest="task_type", metavar="NAME", help="of this task type")
    listing.add_argument("--status", choices=_STATUSES, help="in this status")
    listing.add_argument("--key", help="with this key")
    listing.add_argument("--limit", type=int, default=50, help="of a page (default: %(default)s)")
    listing.add_argument("--after", metavar="CURSOR", help="as the page before told")
    add_action(actions, "show", "show all of one task", show).add_argument("--id", required=True, metavar="TASK")
    add_changes(actions)


def _list(options: argparse.Namespace) -> int:
    engine, outbox = database_with_type(options)
    chosen = Filter(task_type=options.task_type, status=_STATUSES.get(options.status), key=options.key)
    after = None if options.after is None else cursor_of(options.after, "after", chosen)
    require_whole("limit", options.limit, 1, _MOST)
    page = run_briefly(engine, lambda connection: TaskView(outbox).page(connection, chosen, options.limit, after))
    following = None if page.next is None else page.next.as_text(chosen)
    tell(as_json(_plain(page, following)) if options.json else render(page, following, width_of_tables()))
    return 0


def render(page: TaskPage, following: str | None, width: int | None) -> str:
    """Return a page, and what names the ``following`` one, as text, no wider than that, if there is a width."""
    told = table(_HEADINGS, [_cells(row) for row in page.rows], width, whole=1)
    return told if following is None else f"{told}\n\nmore: --after {following}"


def _cells(row: Row[Any]) -> list[object]:
    times = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (row.next_select_time, row.modified_at))
    return [str(row.id), Status(row.status).name, row.task_type, row.task_key, row.retry_count, *times]


def _plain(page: TaskPage, following: str | None) -> dict[str, Any]:
    rows = [{**row._mapping, "status": Status(row.status).name} for row in page.rows]
    return {"tasks": rows, "next": following}
