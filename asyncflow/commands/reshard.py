"""``asyncflow reshard``: another number of shards."""

from __future__ import annotations

import argparse
from typing import Any

from asyncflow.commands.printing import tell
from asyncflow.commands.target import scheduler_at
from asyncflow.commands.terminal.actor import add_actor_options
from asyncflow.commands.terminal.progress import progress
from asyncflow.scheduler.cluster.resharding.reshard import reshard
from asyncflow.scheduler.operator.audit import Act, Subject


def add_to(commands: Any) -> None:
    """Add the command."""
    command = commands.add_parser("reshard", help="give every task its shard by a new shard_count")
    command.add_argument("target", metavar="module:attribute", help="the Scheduler, with the new shard_count")
    command.add_argument("--database", metavar="NAME", help="of several, this one; each is to be done")
    add_actor_options(command)
    command.set_defaults(command=_reshard)


def _reshard(options: argparse.Namespace) -> int:
    scheduler = scheduler_at(options.target)
    with progress("tasks moved") as told:
        outbox = scheduler.outbox
        act, shards = Act("reshard", options.actor, options.reason), Subject.of("shards", str(outbox.shard_count))
        note = act.writing(outbox.audit_entries, shards)
        changed = reshard(scheduler.engine_of(options.database), outbox, on_progress=told, beside=note)
    tell(f"{changed} tasks have another shard; there are {scheduler.outbox.shard_count} shards now")
    return 0
