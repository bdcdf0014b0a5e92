"""``asyncflow types``: what waits and what failed of each task type, and the options that are in force."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.operator.status import capped
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.commands.terminal.columns import table, width_of_tables
from asyncflow.scheduler import Configurations
from asyncflow.scheduler.diagnosis.finding import lasting
from asyncflow.scheduler.operator.report import Report, report

_HEADINGS = ("TASK TYPE", "ENABLED", "PENDING", "DUE FOR", "RUNNING", "FAILED", "SET BY THE TABLE")


def add_to(commands: Any) -> None:
    """Add the command."""
    types = commands.add_parser("types", help="show what waits and failed of each type, and what the table sets")
    add_database_options(types, looks=True)
    add_json_option(types)
    types.set_defaults(command=_types)


def _types(options: argparse.Namespace) -> int:
    database = database_of(options)
    state, configs = report(*database), Configurations(*database).all()
    set_ones = {name: config.options() for name, config in configs.items()}
    if options.json:
        tell(as_json([{**asdict(one), "options": set_ones.get(one.task_type, {})} for one in state.types]))
        return 0
    tell(render(state, set_ones, width_of_tables()))
    return 0


def render(state: Report, options: Mapping[str, Mapping[str, Any]], width: int | None) -> str:
    """Return the types as text, no wider than that, if there is a width."""
    rows = [
        (
            one.task_type,
            "yes" if one.enabled else "no",
            capped(one.pending, state.count_limit),
            None if one.oldest_due_seconds is None else lasting(one.oldest_due_seconds),
            capped(one.running, state.count_limit),
            capped(one.failed, state.count_limit),
            " ".join(f"{name}={value}" for name, value in options.get(one.task_type, {}).items()) or None,
        )
        for one in state.types
    ]
    return table(_HEADINGS, rows, width)
