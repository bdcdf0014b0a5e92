"""``asyncflow jobs`` and ``asyncflow periodic``: what runs at which times, and the pausing of jobs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.commands.terminal.columns import table, width_of_terminal
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.scheduler.operator.schedules import Schedules

_HEADINGS = ("JOB", "ITEMS", "STATE", "CRON", "CHANGED (UTC)")
_PERIODIC_HEADINGS = ("PERIODIC TASK", "CRON", "ZONE", "NEXT DUE (UTC)", "LAST DUE (UTC)", "LATE")
_TIME = "%Y-%m-%d %H:%M:%S"


def add_to(commands: Any) -> None:
    """Add the commands and the own ones of ``jobs``."""
    jobs = commands.add_parser("jobs", help="show jobs of your own, pause and resume them")
    actions = jobs.add_subparsers(required=True, metavar="ACTION")

    def add(within: Any, name: str, text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = within.add_parser(name, help=text)
        add_database_options(sub)
        sub.set_defaults(command=run)
        return sub

    add_json_option(add(actions, "list", "show the jobs that are recorded", _list))
    for name, text, run in (
        ("dump", "print all that is recorded of a job, and its items, as JSON", _dump),
        ("pause", "let no further run begin, in any instance", _pause),
        ("resume", "let it run again", _resume),
    ):
        add(actions, name, text, run).add_argument("--name", required=True, help="the job")
    add_json_option(add(commands, "periodic", "show when periodic tasks are due", _periodic))


def _list(options: argparse.Namespace) -> int:
    found = Schedules(*database_of(options)).jobs()
    rows = [
        (
            one.name,
            one.sharding_total_count,
            "paused" if one.paused else "runs",
            one.config.get("cron"),
            f"{one.modified_at:{_TIME}}",
        )
        for one in found
    ]
    tell(as_json(found) if options.json else table(_HEADINGS, rows, width_of_terminal()))
    return 0


def _dump(options: argparse.Namespace) -> int:
    database = database_of(options)
    job = Schedules(*database).job(options.name)
    tell(as_json({"job": job, "items": Instances(*database).shards(options.name)}))
    return 0


def _pause(options: argparse.Namespace) -> int:
    Schedules(*database_of(options)).pause(options.name)
    tell(f"{options.name} is paused; a run that has begun ends")
    return 0


def _resume(options: argparse.Namespace) -> int:
    Schedules(*database_of(options)).resume(options.name)
    tell(f"{options.name} runs again")
    return 0


def _periodic(options: argparse.Namespace) -> int:
    found = Schedules(*database_of(options)).periodic()
    rows = [
        (
            one.name,
            one.cron,
            one.timezone,
            f"{one.next_due:{_TIME}}",
            None if one.last_due is None else f"{one.last_due:{_TIME}}",
            f"{one.seconds_late:.0f} s" if one.seconds_late else None,
        )
        for one in found
    ]
    tell(as_json(found) if options.json else table(_PERIODIC_HEADINGS, rows, width_of_terminal()))
    return 0
