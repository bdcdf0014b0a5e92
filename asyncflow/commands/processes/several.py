"""Commands that run: each by itself, or, by an option, in several processes."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from asyncflow.commands.processes.log import show_log
from asyncflow.commands.processes.sibling import Sibling, this_sibling
from asyncflow.commands.processes.supervisor import Supervisor
from asyncflow.commands.stop_signals import StopSignals

ProcessBody = Callable[[StopSignals, Sibling | None], int]


def add_processes_option(sub: argparse.ArgumentParser) -> None:
    """Add the option."""
    sub.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="run N of it, each an instance of its own, begun again when it dies; ports count up from those given",
    )


def run_command(options: argparse.Namespace, body: ProcessBody, told: Callable[[Sibling], str] = lambda _: "") -> int:
    """Show the log, and run ``body`` until a signal, or so many processes whose body it is; return the exit code.

    ``body`` is given the signals and, in one of several processes, which it is; ``told`` is what their parent tells of
    each.
    """
    sibling = this_sibling()
    with StopSignals() as signals:
        show_log(options, sibling)
        if sibling is None and options.processes is not None:
            return Supervisor(options.processes, options.given, told).run(signals)
        return body(signals, sibling)
