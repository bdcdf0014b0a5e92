"""``asyncflow reshard``: another number of shards."""

from __future__ import annotations

import argparse
from typing import Any

from asyncflow.commands.printing import tell
from asyncflow.commands.target import scheduler_at
from asyncflow.commands.terminal.progress import progress
from asyncflow.scheduler.cluster.resharding.reshard import reshard


def add_to(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("reshard", help="give every task its shard by a new shard_count")
    command.add_argument("target", metavar="module:attribute", help="the Scheduler, with the new shard_count")
    command.set_defaults(command=_reshard)


def _reshard(options: argparse.Namespace) -> int:
    scheduler = scheduler_at(options.target)
    with progress("tasks moved") as told:
        changed = reshard(scheduler.engine, scheduler.outbox, on_progress=told)
    tell(f"{changed} tasks have another shard; there are {scheduler.outbox.shard_count} shards now")
    return 0
