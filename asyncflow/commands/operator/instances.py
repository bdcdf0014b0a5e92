"""``asyncflow instances`` and ``asyncflow shards``: who runs, who owns what, and the draining of an instance."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from asyncflow.commands.database import add_database_options, database_of
from asyncflow.commands.printing import tell
from asyncflow.commands.terminal.actor import add_actor_options
from asyncflow.commands.terminal.as_json import add_json_option, as_json
from asyncflow.commands.terminal.columns import table, width_of_tables
from asyncflow.scheduler.cluster.ownership import OUTBOX_JOB
from asyncflow.scheduler.operator.instances import Instances, InstanceView
from asyncflow.scheduler.operator.schedules import Schedules

_HEADINGS = ("INSTANCE", "VERSION", "SHARDS", "LEASE", "IN HAND", "ROUNDS/S", "STATE")
_SHARD_HEADINGS = ("SHARD", "OWNER", "EPOCH", "LEASE", "MARKS")


def add_to(commands: Any) -> None:
    """Add the commands, and the own ones of ``instances``."""
    instances = commands.add_parser("instances", help="show who runs, and drain an instance")
    actions = instances.add_subparsers(required=True, metavar="ACTION")
    add_json_option(_added(actions, "list", "show the instances, and what they tell of themselves", _list))
    for name, text, run in (
        ("drain", "let an instance hand its shards over, and take no more", _drain),
        ("undrain", "let it take shards again", _undrain),
    ):
        sub = _added(actions, name, text, run)
        sub.add_argument("--name", required=True, help="the instance")
        add_actor_options(sub)
        add_json_option(sub)
    shards = _added(commands, "shards", "show who owns each shard", _shards)
    shards.add_argument("--job", default=OUTBOX_JOB, help="the items of a job of your own (default: %(default)s)")
    add_json_option(shards)


def _added(within: Any, name: str, text: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = within.add_parser(name, help=text)
    add_database_options(sub, looks=run in (_list, _shards))
    sub.set_defaults(command=run)
    return sub


def _list(options: argparse.Namespace) -> int:
    found = Instances(*database_of(options)).all()
    tell(as_json(found) if options.json else render(found, width_of_tables()))
    return 0


def _shards(options: argparse.Namespace) -> int:
    database = database_of(options)
    found = Instances(*database).shards(options.job)
    if not found and options.job != OUTBOX_JOB:
        Schedules(*database).job(options.job)  # which tells of one that there is none of
    if options.json:
        tell(as_json(found))
        return 0
    rows = [
        (
            one.shard,
            one.owner if (one.lease_seconds_left or 0) > 0 else None,
            one.epoch,
            _seconds(one.lease_seconds_left),
            " ".join(mark for mark in ("disabled", "running", "misfire") if getattr(one, mark)),
        )
        for one in found
    ]
    tell(table(_SHARD_HEADINGS, rows, width_of_tables()))
    return 0


def _drain(options: argparse.Namespace) -> int:
    Instances(*database_of(options)).drain(options.name, actor=options.actor, reason=options.reason)
    told = "hands its shards over; it is back after `asyncflow instances undrain`, or a restart"
    return _done(options, told, is_drained=True)


def _undrain(options: argparse.Namespace) -> int:
    Instances(*database_of(options)).undrain(options.name, actor=options.actor, reason=options.reason)
    return _done(options, "takes shards again", is_drained=False)


def _done(options: argparse.Namespace, told: str, *, is_drained: bool) -> int:
    plain = {"name": options.name, "drained": is_drained}
    tell(as_json(plain) if options.json else f"{options.name} {told}")
    return 0


def render(found: Sequence[InstanceView], width: int | None) -> str:
    """Return the instances as text, no wider than that, if there is a width."""
    return table(_HEADINGS, [_cells(one) for one in found], width, whole=1)


def _cells(one: InstanceView) -> list[object]:
    state = one.state
    told = (None, None) if state is None else (state.in_hand, state.rounds_per_second)
    version = None if state is None else state.version
    return [one.name, version, one.shards, _seconds(one.lease_seconds_left), *told, _troubles(one)]


def _troubles(one: InstanceView) -> str:
    if one.lease_seconds_left <= 0:
        return "gone"
    told = ["leaving"] if one.is_leaving else []
    if one.state is not None:
        told += [f"{breaker.destination} {breaker.state}" for breaker in one.state.breakers]
        told += [f"{failing.name} fails" for failing in one.state.failing]
        told += ["cleaning gives way"] if one.state.cleaning_pause_seconds else []
    return ", ".join(told) or "well"


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else f"{max(0.0, seconds):.1f} s"
