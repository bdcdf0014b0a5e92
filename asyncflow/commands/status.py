"""``asyncflow status``: what waits, what failed and who owns the shards."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.scheduler.operator.report import COUNT_LIMIT, Report, TypeReport, report

_HEADINGS = (
    " PENDING",
    "OLDEST DUE",
    "   NEXT DUE",
    " RUNNING",
    "OLDEST RUN",
    " SUCCESS",
    "  FAILED",
    "CANCELLED",
)  # as wide as their columns


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
    lines = [_line("TASK TYPE", _HEADINGS), *(_line(_named(one), _fields(one)) for one in state.types)]
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


def _line(name: str, fields: Sequence[str]) -> str:
    return " ".join(
        [f"{name:<28}", *(f"{field:>{len(title)}}" for field, title in zip(fields, _HEADINGS, strict=True))]
    )


def _fields(one: TypeReport) -> list[str]:
    return [
        _count(one.pending),
        _seconds(one.oldest_due_seconds),
        _seconds(one.next_due_seconds),
        _count(one.running),
        _seconds(one.oldest_running_seconds),
        _count(one.succeeded),
        _count(one.failed),
        _count(one.cancelled),
    ]


def _named(one: TypeReport) -> str:
    return one.task_type if one.enabled else f"{one.task_type} (off)"


def _count(count: int) -> str:
    return f">={COUNT_LIMIT}" if count >= COUNT_LIMIT else str(count)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
