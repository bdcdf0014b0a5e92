"""``asyncflow consume``: run a consumer."""

from __future__ import annotations

import argparse
from typing import Any

from asyncflow.commands.running import run_until_stopped, show_log
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.commands.target import made_at
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.integrations.logging import LoggingHook


def add_to(commands: Any) -> None:
    """Add the command."""
    consume = commands.add_parser("consume", help="run a consumer until SIGTERM or SIGINT")
    consume.add_argument("target", metavar="module:attribute", help="the Consumer, or a function that makes it")
    consume.add_argument("--verbose", action="store_true", help="also log what the Kafka client says")
    consume.set_defaults(command=_consume)


def _consume(options: argparse.Namespace) -> int:
    with StopSignals() as signals:
        with signals.cutting_short():
            show_log(verbose=options.verbose)
            consumer = made_at(options.target, Consumer, "a Consumer, or a function that makes one")
            consumer.hooks.add(LoggingHook())
        return run_until_stopped(consumer, signals)
