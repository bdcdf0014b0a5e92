"""``asyncflow worker``: do the tasks of a task service."""

from __future__ import annotations

import argparse
from typing import Any

from asyncflow.commands.running import run_until_stopped, show_log
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.commands.target import made_at
from asyncflow.integrations.flowsvr.client import command
from asyncflow.integrations.logging import LoggingHook
from asyncflow.outbox import Outbox
from asyncflow.scheduler import Scheduler

_WANTED = "an Outbox or a Scheduler, or a function that makes one"


def add_to(commands: Any) -> None:
    """Add the command."""
    worker = commands.add_parser("worker", help="do the tasks of a task service until SIGTERM or SIGINT")
    worker.add_argument("target", metavar="module:attribute", help="the Outbox; or a Scheduler, for its engine")
    command.add_options(worker)
    worker.add_argument("--verbose", action="store_true", help="also log every settle")
    worker.set_defaults(command=_worker)


def _worker(options: argparse.Namespace) -> int:
    with StopSignals() as signals:
        with signals.cutting_short():
            show_log(verbose=options.verbose)
            target = made_at(options.target, (Outbox, Scheduler), _WANTED)
            worker = command.worker_of(target, options, LoggingHook())
        return run_until_stopped(worker, signals)
