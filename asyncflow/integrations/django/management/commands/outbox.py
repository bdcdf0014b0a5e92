"""``manage.py outbox``: asyncflow's own command line, on the project's outbox."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand

from asyncflow import cli
from asyncflow.integrations.django.outbox import the_outbox
from asyncflow.scheduler import Scheduler

_HELP = "run, status, dead-letters, config, audit or reshard, with its arguments; --help after it tells them"


class Command(BaseCommand):
    """Hand all that follows to asyncflow's command line."""

    help = "Run the outbox's scheduler, and look at its tasks."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take everything."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="COMMAND", help=_HELP)

    def handle(self, *_: Any, arguments: Sequence[str], **__: Any) -> None:
        """Run the command; a code that is not 0 ends the process."""
        code = cli.main_in_application("manage.py outbox", arguments, _scheduler)
        if code:
            sys.exit(code)


def _scheduler() -> Scheduler:
    return the_outbox().scheduler()
