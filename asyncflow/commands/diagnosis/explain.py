"""``asyncflow explain``: why one task has not happened yet, and when it will be tried."""

from __future__ import annotations

import argparse
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.diagnosis.language import Say, add_language_option, in_english, saying
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import as_json
from asyncflow.commands.terminal.columns import paragraph, width_of_terminal
from asyncflow.scheduler.diagnosis.explain import Explanation, explain
from asyncflow.text import on_one_line


def add_to(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("explain", help="show why one task has not happened yet, and when it will be tried")
    command.add_argument("task_id", metavar="TASK", help="the task's id")
    add_database_options(command, looks=True)
    add_language_option(command)
    command.add_argument("--json", action="store_true", help="as a JSON object, for programs")
    command.set_defaults(command=_explain)


def _explain(options: argparse.Namespace) -> int:
    told = explain(*database_of(options), options.task_id)
    tell(as_json(told.as_dict()) if options.json else render(told, width_of_terminal(), saying(options.language)))
    return 0


def render(told: Explanation, width: int, say: Say = in_english) -> str:
    """Return the explanation as text for a terminal of a width."""
    lines = [
        f"{told.task_id}  {on_one_line(told.task_type)}  {told.status.name}",
        *paragraph(say(told.why), width, "    "),
    ]
    if told.next_try is not None:
        lines.append(f"    {say('next:')} {told.next_try:%Y-%m-%d %H:%M:%S}Z")
    if told.remedy is not None:
        lines.append(f"    {say('mend:')} {on_one_line(say(told.remedy))}")
    return "\n".join(lines)
