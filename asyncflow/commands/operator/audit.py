"""``asyncflow audit``: who changed which task on purpose."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.outbox import Outbox
from asyncflow.scheduler import Audit, AuditEntry
from asyncflow.scheduler.operator.selection import task_id_of
from asyncflow.text import printable


def add_to(commands: Any) -> None:
    """Add the command."""
    audit = commands.add_parser("audit", help="show who replayed, cancelled or discarded tasks, latest first")
    add_database_options(audit, looks=True)
    add_json_option(audit)
    audit.add_argument("--id", metavar="TASK", help="of one task")
    audit.add_argument("--limit", type=int, default=50, help="entries shown (default: %(default)s)")
    audit.add_argument("--after", metavar="CURSOR", help="as the page before told")
    audit.set_defaults(command=lambda options: _audit(options, *database_of(options)))


def _audit(options: argparse.Namespace, engine: Engine, outbox: Outbox) -> int:
    task_id = None if options.id is None else task_id_of(options.id)
    page = Audit(engine, outbox).page(task_id=task_id, limit=options.limit, after=options.after)
    tell(as_json(page.entries) if options.json else render(page.entries))
    if page.next is not None and not options.json:
        tell(f"\nmore: --after {page.next}")
    return 0


def render(entries: Sequence[AuditEntry]) -> str:
    """Return the entries as text for a terminal, two lines each."""
    lines = [f"{'AT (UTC)':<19}  {'ACTION':<9}  {'ACTOR':<16}  TASK TYPE"]
    for entry in entries:
        actor, name = printable(entry.actor), printable(entry.task_type)
        lines.append(f"{entry.at:%Y-%m-%d %H:%M:%S}  {entry.action:<9}  {actor:<16}  {name}")
        task = str(entry.task_id) if entry.task_id.int else ""
        told = [task, f"key={entry.task_key}" if entry.task_key else "", entry.detail or "", entry.reason or ""]
        lines.append(f"    {printable('; '.join(filter(None, told)))}")
    return "\n".join(lines if entries else [*lines, "(nothing)"])
