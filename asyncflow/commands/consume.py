"""``asyncflow consume``: run a consumer."""

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
from asyncflow.consuming.consumer import BaseConsumer
from asyncflow.integrations.logging import LoggingHook


def add_to(commands: Any) -> None:
    """Add the command."""
    consume = commands.add_parser("consume", help="run a consumer until SIGTERM or SIGINT")
    consume.add_argument("target", metavar="module:attribute", help="the Consumer, or a function that makes it")
    add_log_options(consume, "also log what the client of the broker says")
    add_processes_option(consume)
    consume.set_defaults(command=_consume)


def _consume(options: argparse.Namespace) -> int:
    return run_command(options, partial(_run_one, options))


def _run_one(options: argparse.Namespace, signals: StopSignals, _: Sibling | None) -> int:
    with signals.cutting_short():
        consumer = made_at(options.target, BaseConsumer, "a Consumer, or a function that makes one")
        consumer.hooks.add(LoggingHook())
    return run_until_stopped(consumer, signals)
