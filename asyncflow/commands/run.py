"""``asyncflow run``: run a scheduler, or several of one kind in processes of their own."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from functools import partial
from typing import Any

from asyncflow.commands.diagnosis.notifying import add_notify_options, notifying
from asyncflow.commands.processes.health import Health, HealthServer
from asyncflow.commands.processes.log import add_log_options
from asyncflow.commands.processes.several import add_processes_option, run_command
from asyncflow.commands.processes.sibling import Sibling
from asyncflow.commands.running import run_until_stopped
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.commands.target import scheduler_at
from asyncflow.errors import OptionError
from asyncflow.integrations.logging import LoggingHook
from asyncflow.integrations.prometheus import MetricsServer
from asyncflow.scheduler import Scheduler
from asyncflow.scheduler.jobs.sources import options_from_environment, options_from_toml


def add_to(commands: Any) -> None:
    """Add the command."""
    run = commands.add_parser("run", help="run a scheduler until SIGTERM or SIGINT")
    run.add_argument("target", metavar="module:attribute", help="the Scheduler, or a function that makes it")
    add_log_options(run, "also log every page, batch and settle, and what the Kafka client says")
    run.add_argument("--config", metavar="FILE", help="TOML with options of jobs, in tables [jobs.NAME]")
    run.add_argument("--metrics-port", type=int, metavar="N", help="serve Prometheus' metrics at /metrics there")
    run.add_argument("--metrics-host", default="127.0.0.1", help="the address of it (default: %(default)s)")
    run.add_argument("--health-port", type=int, metavar="N", help="serve /healthz and /readyz there")
    run.add_argument("--health-host", default="127.0.0.1", help="the address of it (default: %(default)s)")
    add_processes_option(run)
    run.add_argument(
        "--messaging-metrics",
        action="store_true",
        help="with OpenTelemetry's four metrics of messaging, around each batch and attempt",
    )
    add_notify_options(run)
    run.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    return run_command(options, partial(_run_one, options), partial(_places, options))


def _run_one(options: argparse.Namespace, signals: StopSignals, sibling: Sibling | None) -> int:
    with signals.cutting_short():
        scheduler = scheduler_at(options.target)
        _require_shared(scheduler, sibling)
        _configure_jobs(scheduler, options.config)
        scheduler.hooks.add(LoggingHook())
    with _servers(options, scheduler, sibling or Sibling(0, 1)):
        return run_until_stopped(scheduler, signals)


def _servers(options: argparse.Namespace, scheduler: Scheduler, sibling: Sibling) -> ExitStack:
    """Return what closes the servers that the options ask for; raises OptionError for a port that cannot be had."""
    metrics, health = sibling.port(options.metrics_port), sibling.port(options.health_port)
    if options.messaging_metrics and metrics is None:
        raise OptionError("--messaging-metrics is given without --metrics-port; give the port to serve them on")
    with ExitStack() as stack:
        if metrics is not None:
            messaging = options.messaging_metrics
            stack.enter_context(MetricsServer(scheduler, metrics, options.metrics_host, messaging=messaging))
        if health is not None:
            stack.enter_context(HealthServer(Health(scheduler), health, options.health_host))
        stack.enter_context(notifying(options, scheduler))
        return stack.pop_all()


def _places(options: argparse.Namespace, sibling: Sibling) -> str:
    """Tell where the servers of one process are."""
    given = (
        ("metrics", options.metrics_host, options.metrics_port),
        ("health", options.health_host, options.health_port),
    )
    return "".join(f", {name} at {host}:{sibling.port(port)}" for name, host, port in given if port)


def _require_shared(scheduler: Scheduler, sibling: Sibling | None) -> None:
    """Raise OptionError for one of several processes that would all have the same fixed share."""
    if sibling is not None and scheduler.settings.instance_count is not None:
        raise OptionError(
            f"--processes is {sibling.of}, but the scheduler has a fixed share (instance_index "
            f"{scheduler.settings.instance_index}), which each of them would have; leave instance_count out"
        )


def _configure_jobs(scheduler: Scheduler, config: str | None) -> None:
    """Lay the file's options over the jobs' own, and the environment's over both."""
    if config is not None:
        scheduler.configure_jobs(options_from_toml(config))
    scheduler.configure_jobs({name: options_from_environment(name, os.environ) for name in scheduler.job_names})
