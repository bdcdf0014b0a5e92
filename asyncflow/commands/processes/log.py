"""The log of a command that runs: how much of it, and in which form."""

from __future__ import annotations

import argparse
import logging
import sys

from asyncflow.commands.printing import PlainFormatter
from asyncflow.commands.processes.json_lines import JsonFormatter
from asyncflow.commands.processes.sibling import Sibling
from asyncflow.integrations.kafka import client_log as kafka_log
from asyncflow.integrations.nats import client_log as nats_log
from asyncflow.integrations.rabbitmq import client_log as rabbitmq_log

_LEVELS = ("debug", "info", "warning", "error")


def add_log_options(sub: argparse.ArgumentParser, verbose: str) -> None:
    """Add the options; ``verbose`` tells what there is to be seen then."""
    sub.add_argument("--verbose", action="store_true", help=verbose)
    sub.add_argument("--log-level", choices=_LEVELS, help="the least that is logged (default: info; --verbose: debug)")
    sub.add_argument("--log-json", action="store_true", help="log lines of JSON, with the fields of each event")


def show_log(options: argparse.Namespace, sibling: Sibling | None = None) -> None:
    """Write what asyncflow logs to standard error; what libraries log, as far as a person needs it."""
    level: int = getattr(logging, (options.log_level or ("debug" if options.verbose else "info")).upper())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(sibling, as_json=options.log_json))
    logging.basicConfig(level=max(logging.INFO, level), handlers=[handler])
    logging.getLogger("asyncflow").setLevel(level)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    for log in (kafka_log, nats_log, rabbitmq_log):
        log.show_client_lines(shown=options.verbose)


def _formatter(sibling: Sibling | None, *, as_json: bool) -> logging.Formatter:
    if as_json:
        return JsonFormatter(None if sibling is None else str(sibling))
    mark = "" if sibling is None else f" [{sibling}]"
    return PlainFormatter(f"%(asctime)s %(levelname)-7s{mark} %(message)s")
