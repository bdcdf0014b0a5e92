"""The options by which a command tells people of findings."""

from __future__ import annotations

import argparse
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.integrations.notices import channel_at
from asyncflow.scheduler import Scheduler
from asyncflow.scheduler.notices import Notifier, NotifierSettings

URLS_VARIABLE, SECRET_VARIABLE = "ASYNCFLOW_NOTIFY", "ASYNCFLOW_NOTIFY_SECRET"


def add_notify_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--notify",
        action="append",
        metavar="URL|env",
        help=f"tell of findings there: https://, slack+https://, dingtalk+https://, wecom+https://, smtp+starttls://; "
        f"env: the URLs in ${URLS_VARIABLE}, apart by spaces; ${SECRET_VARIABLE} signs webhooks; may be repeated",
    )
    parser.add_argument(
        "--notify-least",
        choices=["stuck", "trouble", "notice"],
        default="trouble",
        help="the least severity that is told (default: %(default)s)",
    )


def notifying(options: argparse.Namespace, scheduler: Scheduler) -> AbstractContextManager[Any]:
    """Return what notifies for as long as it is entered; raises OptionError."""
    urls = [one for given in options.notify or () for one in _urls_of(given)]
    if not urls:
        return nullcontext()
    if scheduler.databases:
        raise OptionError(
            "--notify is given, but the scheduler has several databases, and a notice tells of one; leave it out, and "
            "make a Notifier(engine, outbox, channels) for each of them"
        )
    secret = os.environ.get(SECRET_VARIABLE) or None
    channels = [channel_at(url, secret) for url in urls]
    settings = NotifierSettings(least=options.notify_least)
    return Notifier(scheduler.engine, scheduler.outbox, channels, settings=settings, hooks=[*scheduler.hooks])


def _urls_of(given: str) -> list[str]:
    if given != "env":
        return [given]
    urls = os.environ.get(URLS_VARIABLE, "").split()
    if not urls:
        raise OptionError(f"--notify is env, but ${URLS_VARIABLE} is empty; put the URLs there, apart by spaces")
    return urls
