"""``asyncflow run``: run a scheduler."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from asyncflow.commands.running import run_until_stopped, show_log
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.commands.target import scheduler_at
from asyncflow.integrations.logging import LoggingHook
from asyncflow.integrations.prometheus import MetricsServer
from asyncflow.scheduler import Scheduler
from asyncflow.scheduler.jobs.sources import options_from_environment, options_from_toml


def add_to(commands: Any) -> None:
    """Add the command."""
    run = commands.add_parser("run", help="run a scheduler until SIGTERM or SIGINT")
    run.add_argument("target", metavar="module:attribute", help="the Scheduler, or a function that makes it")
    run.add_argument(
        "--verbose", action="store_true", help="also log every page, batch and settle, and what the Kafka client says"
    )
    run.add_argument("--config", metavar="FILE", help="TOML with options of jobs, in tables [jobs.NAME]")
    run.add_argument("--metrics-port", type=int, metavar="N", help="serve Prometheus' metrics at /metrics there")
    run.add_argument("--metrics-host", default="127.0.0.1", help="the address of it (default: %(default)s)")
    run.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    with StopSignals() as signals:
        with signals.cutting_short():
            show_log(verbose=options.verbose)
            scheduler = scheduler_at(options.target)
            _configure_jobs(scheduler, options.config)
            scheduler.hooks.add(LoggingHook())
        with _metrics(options, scheduler):
            return run_until_stopped(scheduler, signals)


def _metrics(options: argparse.Namespace, scheduler: Scheduler) -> AbstractContextManager[Any]:
    if options.metrics_port is None:
        return nullcontext()
    return MetricsServer(scheduler, options.metrics_port, options.metrics_host)


def _configure_jobs(scheduler: Scheduler, config: str | None) -> None:
    """Lay the file's options over the jobs' own, and the environment's over both."""
    if config is not None:
        scheduler.configure_jobs(options_from_toml(config))
    scheduler.configure_jobs({name: options_from_environment(name, os.environ) for name in scheduler.job_names})
