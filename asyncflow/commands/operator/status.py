"""``asyncflow status``: what waits, what failed and who owns the shards."""

from __future__ import annotations

import argparse
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.commands.terminal.columns import table, width_of_tables
from asyncflow.scheduler.diagnosis.finding import lasting
from asyncflow.scheduler.operator.report import Report, TypeReport, report
from asyncflow.text import printable

_HEADINGS = ("TASK TYPE", "PENDING", "DUE FOR", "DUE IN", "RUNNING", "HEARD", "SUCCESS", "FAILED", "CANCELLED")


def add_to(commands: Any) -> None:
    """Add the command."""
    status = commands.add_parser("status", help="show what waits, what failed and who owns the shards")
    add_database_options(status, looks=True)
    add_json_option(status)
    status.set_defaults(command=_status)


def _status(options: argparse.Namespace) -> int:
    state = report(*database_of(options))
    tell(as_json(state) if options.json else render(state, width_of_tables()))
    return 0


def render(state: Report, width: int | None = None) -> str:
    """Return the report as text, its table no wider than that, if there is a width."""
    rows = [[_named(one), *_fields(one, state.count_limit)] for one in state.types]
    lines = [table(_HEADINGS, rows, width)] if rows else [table(_HEADINGS, [], width).partition("\n")[0], "(no tasks)"]
    lines += ["", "SHARDS"]
    lines += [f"{shards:>6}  {printable(owner or '(no owner)')}" for owner, shards in state.owners.items()]
    if not state.owners:
        lines.append("(no scheduler has started yet)")
    if state.dead_letters:
        lines += ["", "LATEST DEAD LETTERS"]
    for letter in state.dead_letters:
        last_error = letter.log.splitlines()[0] if letter.log else ""
        name = printable(letter.task_type) + (f"  key={printable(letter.key)}" if letter.key else "")
        lines.append(f"{letter.task_id}  {name}  attempts={letter.retry_count}")
        lines.append(f"    {last_error}")
    return "\n".join(lines)


def _fields(one: TypeReport, limit: int) -> list[str]:
    return [
        capped(one.pending, limit),
        _seconds(one.oldest_due_seconds),
        _due_in(one),
        capped(one.running, limit),
        _seconds(one.oldest_running_seconds),
        capped(one.succeeded, limit),
        capped(one.failed, limit),
        capped(one.cancelled, limit),
    ]


def _named(one: TypeReport) -> str:
    name = one.task_type
    return name if one.enabled else f"{name} (off)"


def capped(count: int, limit: int) -> str:
    """Return a count, of which nobody knows how far it goes beyond the limit."""
    return f">={limit}" if count >= limit else str(count)


def _due_in(one: TypeReport) -> str:
    """Tell when the next task is due; where that is set aside behind a parked key, when such a key is tried again."""
    if not one.parked_keys:
        return _seconds(one.next_due_seconds)
    return "parked" if one.parked_due_seconds is None else f"parked, {lasting(one.parked_due_seconds)}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else lasting(seconds)
