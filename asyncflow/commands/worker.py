"""``asyncflow worker``: do the tasks of a task service, or of a queue."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from asyncflow.commands.processes.log import add_log_options
from asyncflow.commands.processes.several import add_processes_option, run_command
from asyncflow.commands.processes.sibling import Sibling
from asyncflow.commands.running import run_until_stopped
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.commands.target import made_at
from asyncflow.integrations.flowsvr.client import command
from asyncflow.integrations.logging import LoggingHook
from asyncflow.outbox import Outbox
from asyncflow.scheduler import Scheduler
from asyncflow.scheduler.queue_worker import QueueWorker

_WANTED = "an Outbox, a Scheduler or a QueueWorker, or a function that makes one"


def add_to(commands: Any) -> None:
    """Add the command."""
    worker = commands.add_parser("worker", help="do the tasks of a task service or a queue until SIGTERM or SIGINT")
    told = "of a task service: the Outbox; or a Scheduler, for its engine. Of a queue: the QueueWorker"
    worker.add_argument("target", metavar="module:attribute", help=told)
    command.add_options(worker)
    add_log_options(worker, "also log every settle")
    add_processes_option(worker)
    worker.set_defaults(command=_worker)


def _worker(options: argparse.Namespace) -> int:
    return run_command(options, partial(_run_one, options))


def _run_one(options: argparse.Namespace, signals: StopSignals, sibling: Sibling | None) -> int:
    with signals.cutting_short():
        target = made_at(options.target, (Outbox, Scheduler, QueueWorker), _WANTED)
        if isinstance(target, QueueWorker):
            command.require_no_options(options, "a QueueWorker has its own: give them where it is made")
            target.hooks.add(LoggingHook())
            return run_until_stopped(target, signals)
        worker = command.worker_of(target, _named_apart(options, sibling), LoggingHook())
    return run_until_stopped(worker, signals)


def _named_apart(options: argparse.Namespace, sibling: Sibling | None) -> argparse.Namespace:
    """Give each of several processes a name of its own, if they were given one for all."""
    if sibling is None or options.name is None:
        return options
    return argparse.Namespace(**{**vars(options), "name": f"{options.name}-{sibling.number + 1}"})
