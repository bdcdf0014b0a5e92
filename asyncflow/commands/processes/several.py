"""The option that runs one command in several processes."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from asyncflow.commands.processes.sibling import Sibling
from asyncflow.commands.processes.supervisor import Supervisor
from asyncflow.commands.stop_signals import StopSignals


def add_processes_option(sub: argparse.ArgumentParser) -> None:
    """Add it."""
    sub.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="run N of it, each an instance of its own, begun again when it dies; ports count up from those given",
    )


def run_several(
    options: argparse.Namespace, signals: StopSignals, told: Callable[[Sibling], str] = lambda _: ""
) -> int:
    """Run the command that was given in so many processes, until the first signal; return the exit code."""
    return Supervisor(options.processes, options.given, told).run(signals)
