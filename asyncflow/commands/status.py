"""``asyncflow status``: what waits, what failed and who owns the shards."""

from __future__ import annotations

import argparse
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.scheduler.operator.report import COUNT_LIMIT, Report, TypeReport, report


def add_to(commands: Any) -> None:
    """Add the command."""
    status = commands.add_parser("status", help="show what waits, what failed and who owns the shards")
    add_database_options(status)
    status.set_defaults(command=_status)


def _status(options: argparse.Namespace) -> int:
    print(render(report(*database_of(options))))
    return 0


def render(state: Report) -> str:
    """Return the report as text for a terminal."""
    lines = [f"{'TASK TYPE':<32} {'PENDING':>8} {'OLDEST DUE':>11} {'NEXT DUE':>9} {'SUCCESS':>8} {'FAILED':>7}"]
    for one in state.types:
        lines.append(
            f"{_named(one):<32} {_count(one.pending):>8} {_seconds(one.oldest_due_seconds):>11} "
            f"{_seconds(one.next_due_seconds):>9} {_count(one.succeeded):>8} {_count(one.failed):>7}"
        )
    if not state.types:
        lines.append("(no tasks)")
    lines += ["", "SHARDS"]
    lines += [f"{count:>6}  {owner or '(no owner)'}" for owner, count in state.owners.items()]
    if not state.owners:
        lines.append("(no scheduler has started yet)")
    if state.dead_letters:
        lines += ["", "LATEST DEAD LETTERS"]
    for letter in state.dead_letters:
        last_error = letter.log.splitlines()[0] if letter.log else ""
        lines.append(f"{letter.task_id}  {letter.task_type}  key={letter.key}  retries={letter.retry_count}")
        lines.append(f"    {last_error}")
    return "\n".join(lines)


def _named(one: TypeReport) -> str:
    return one.task_type if one.enabled else f"{one.task_type} (off)"


def _count(count: int) -> str:
    return f">={COUNT_LIMIT}" if count >= COUNT_LIMIT else str(count)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
