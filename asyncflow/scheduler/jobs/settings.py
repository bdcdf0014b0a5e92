"""A job's settings: one table of defaults, whichever way they are given, checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apscheduler.triggers.base import BaseTrigger

from asyncflow.errors import OptionError
from asyncflow.outbox.cron.plan import zone_of
from asyncflow.outbox.options import field_names, is_number, refuse_unknown, require_flag, require_whole
from asyncflow.scheduler.cluster.item_parameters import item_parameters
from asyncflow.scheduler.cluster.strategies import MINIMAL_MOVEMENT, Strategy, strategy_of
from asyncflow.scheduler.jobs.error_handlers import LOG, ErrorHandler, error_handler_of
from asyncflow.scheduler.jobs.listeners import JobListener, listeners_of
from asyncflow.scheduler.jobs.references import is_reference, referred
from asyncflow.scheduler.loops.triggers import LONGEST_SECONDS, trigger_of
from asyncflow.text import shown

MOST_ITEMS = 32767  # an item's number is a SMALLINT
_LONGEST_TEXT = 10_000


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """Configure one job. Raises OptionError, naming the option, its value and what is allowed."""

    cron: float | str  # seconds between two ticks, or a crontab line of 5 fields, or of 6 with seconds first
    timezone: str | None = None  # in whose local time a crontab line is meant, an IANA name; None: this machine's
    sharding_total_count: int = 1  # items into which the work is divided, numbered from 0
    sharding_item_parameters: str = ""  # a text for each item, "0=a,1=b"
    job_parameter: str = ""  # a text for the whole job
    streaming_process: bool = False  # a DataflowJob fetches again until there is nothing left
    failover: bool = False  # an item that was running when its owner ended runs again at once, at its next owner
    misfire: bool = True  # ticks that come while an item runs give it one further run
    monitor_execution: bool = True  # mark running items in the database; failover needs it
    max_time_diff_seconds: float = -1  # a clock further from the database's is an error to the handler; -1: no check
    reconcile_interval_minutes: float = 10  # between two readings of who owns what from the database; 0: none
    sharding_strategy: str | Strategy = MINIMAL_MOVEMENT  # how items are shared out among the instances
    error_handler: str | ErrorHandler = LOG  # "LOG", "THROW", "IGNORE" or a function (context, error)
    listeners: Sequence[JobListener | str] = ()  # objects with before(ctx) and after(ctx), called in this order
    thread_count: int = 4  # items of this instance that run at the same time
    disabled: bool = False  # recorded at the first start; from then on the database tells
    overwrite: bool = False  # these settings replace the recorded ones at a start; otherwise the recorded ones win
    description: str = ""  # for people

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            check(name, getattr(self, name))
        item_parameters(self.sharding_item_parameters, self.sharding_total_count)
        self.trigger()
        self.strategy()
        error_handler_of(self.error_handler)
        listeners_of(self.listeners)
        object.__setattr__(self, "listeners", tuple(self.listeners))
        if self.failover and not self.monitor_execution:
            raise OptionError("failover is True, but monitor_execution is False; failover needs it: set both")

    @classmethod
    def of(cls, **options: Any) -> JobSettings:
        """Make settings from keyword options; raises UnknownOptionError with the nearest name."""
        refuse_unknown("a job", options, NAMES)
        if "cron" not in options:
            raise OptionError("cron is missing; give seconds, or a crontab line such as '*/5 * * * *'")
        return cls(**options)

    def with_options(self, options: Mapping[str, Any]) -> JobSettings:
        """Return these settings with some of them replaced; raises UnknownOptionError or OptionError."""
        refuse_unknown("a job", options, NAMES)
        return replace(self, **options)

    def as_options(self) -> dict[str, Any]:
        """Return all options by name."""
        return {name: getattr(self, name) for name in NAMES}

    def trigger(self) -> BaseTrigger:
        """Return what gives the ticks."""
        return trigger_of(self.cron, "cron", None if self.timezone is None else zone_of(self.timezone))

    def strategy(self) -> Strategy:
        """Return how items are shared out."""
        given = self.sharding_strategy
        return strategy_of(referred("sharding_strategy", given) if is_reference(given) else given)


NAMES = field_names(JobSettings)


def _require_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise OptionError(f"{name} is {shown(value)}; give text of at most {_LONGEST_TEXT} characters")


def _require_time_diff(name: str, value: Any) -> None:
    if value != -1 and not _is_number(value):
        raise OptionError(f"{name} is {shown(value)}; give seconds from 0 to {LONGEST_SECONDS:.0f}, or -1 for no check")


def _require_minutes(name: str, value: Any) -> None:
    if not _is_number(value):
        raise OptionError(f"{name} is {shown(value)}; give minutes above 0, or 0 for none")


def _is_number(value: Any) -> bool:
    return is_number(value) and 0 <= value <= LONGEST_SECONDS


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "sharding_total_count": lambda name, value: require_whole(name, value, 1, MOST_ITEMS),
    "thread_count": lambda name, value: require_whole(name, value, 1, 1000),
    "max_time_diff_seconds": _require_time_diff,
    "reconcile_interval_minutes": _require_minutes,
    **dict.fromkeys(("job_parameter", "description"), _require_text),
    **dict.fromkeys(
        ("streaming_process", "failover", "misfire", "monitor_execution", "disabled", "overwrite"), require_flag
    ),
}
