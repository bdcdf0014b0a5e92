"""``asyncflow jobs`` and ``asyncflow periodic``: what runs at which times, out of its turn, or not at all."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.actor import add_actor_options
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.commands.terminal.columns import table, width_of_tables
from asyncflow.scheduler.operator.by_hand.triggers import Triggers
from asyncflow.scheduler.operator.instances import Instances
from asyncflow.scheduler.operator.schedules import Schedules

_HEADINGS = ("JOB", "ITEMS", "STATE", "CRON", "CHANGED (UTC)")
_PERIODIC_HEADINGS = ("PERIODIC TASK", "CRON", "ZONE", "NEXT DUE (UTC)", "LAST DUE (UTC)", "LATE")
_TIME = "%Y-%m-%d %H:%M:%S"
RunVerb = Callable[[argparse.Namespace], int]


def add_to(commands: Any) -> None:
    """Add the commands and their own ones."""
    jobs = commands.add_parser("jobs", help="show jobs of your own, run them now, pause and resume them")
    actions = jobs.add_subparsers(required=True, metavar="ACTION")
    add_json_option(_added(actions, "list", "show the jobs that are recorded", _list))
    dump = _added(actions, "dump", "print all that is recorded of a job, and its items, as JSON", _dump)
    dump.add_argument("--name", required=True, help="the job")
    for name, text, run in (
        ("trigger", "let each of its items run once now, whatever its times", _trigger),
        ("pause", "let no further run begin, in any instance", _pause),
        ("resume", "let it run again", _resume),
    ):
        _add_change(_added(actions, name, text, run), "the job")
    periodic = _added(commands, "periodic", "show when periodic tasks are due, have one due now, pause it", _periodic)
    change = periodic.add_mutually_exclusive_group()
    for name, text in (
        ("trigger", "let this one be due now"),
        ("pause", "let it be due no more"),
        ("resume", "let it be due again, from now on"),
    ):
        change.add_argument(f"--{name}", metavar="NAME", help=text)
    add_actor_options(periodic)
    add_json_option(periodic)


def _added(within: Any, name: str, text: str, run: RunVerb) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = within.add_parser(name, help=text)
    add_database_options(sub)
    sub.set_defaults(command=run)
    return sub


def _add_change(sub: argparse.ArgumentParser, what: str) -> None:
    sub.add_argument("--name", required=True, help=what)
    add_actor_options(sub)
    add_json_option(sub)


def _done(options: argparse.Namespace, name: str, told: str, **answer: Any) -> int:
    tell(as_json({"name": name, **answer}) if options.json else f"{name} {told}")
    return 0


def _who(options: argparse.Namespace) -> dict[str, Any]:
    return {"actor": options.actor, "reason": options.reason}


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
    tell(as_json(found) if options.json else table(_HEADINGS, rows, width_of_tables()))
    return 0


def _dump(options: argparse.Namespace) -> int:
    database = database_of(options)
    job = Schedules(*database).job(options.name)
    tell(as_json({"job": job, "items": Instances(*database).shards(options.name)}))
    return 0


def _trigger(options: argparse.Namespace) -> int:
    items = Triggers(*database_of(options)).run_job(options.name, **_who(options))
    counted = "its item has" if items == 1 else f"its {items} items have"
    return _done(options, options.name, f"is called: {counted} a run now, or after the one at work", items=items)


def _pause(options: argparse.Namespace) -> int:
    Schedules(*database_of(options)).pause(options.name, **_who(options))
    return _done(options, options.name, "is paused; a run that has begun ends", paused=True)


def _resume(options: argparse.Namespace) -> int:
    Schedules(*database_of(options)).resume(options.name, **_who(options))
    return _done(options, options.name, "runs again", paused=False)


def _periodic(options: argparse.Namespace) -> int:
    if options.trigger is None and options.pause is None and options.resume is None:
        return _list_periodic(options)
    triggers, who = Triggers(*database_of(options)), _who(options)
    if options.trigger is not None:
        name, is_changed = options.trigger, triggers.periodic_now(options.trigger, **who)
        told = "is due now; a scheduler that declares it enqueues its task" if is_changed else "was due already"
    elif options.pause is not None:
        name, is_changed = options.pause, triggers.pause_periodic(options.pause, **who)
        told = "is paused" if is_changed else "was paused already"
    else:
        name, is_changed = options.resume, triggers.resume_periodic(options.resume, **who)
        told = "is due again" if is_changed else "was not paused"
    return _done(options, name, told, changed=is_changed)


def _list_periodic(options: argparse.Namespace) -> int:
    found = Schedules(*database_of(options)).periodic()
    rows = [
        (
            one.name,
            one.cron,
            one.timezone,
            "paused" if one.paused else f"{one.next_due:{_TIME}}",
            None if one.last_due is None else f"{one.last_due:{_TIME}}",
            f"{one.seconds_late:.0f} s" if one.seconds_late else None,
        )
        for one in found
    ]
    tell(as_json(found) if options.json else table(_PERIODIC_HEADINGS, rows, width_of_tables()))
    return 0
