"""Periodic tasks: calls of a handler that are due by the clock, again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, NamedTuple, get_args

from asyncflow.errors import OptionError
from asyncflow.outbox.cron.plan import RESOLUTION, Plan, plan_of
from asyncflow.outbox.options import require_seconds
from asyncflow.outbox.tables import PERIODIC_NAME_LENGTH
from asyncflow.text import require_text, shown

DUE_TIME = "due-time"  # the header that tells a task's due time, in ISO 8601
Misfire = Literal["once", "all", "skip"]
NEVER = datetime(9000, 1, 1, tzinfo=timezone.utc)  # when what somebody has paused is due
MOST_AT_ONCE = 100  # tasks enqueued in one transaction


class Advance(NamedTuple):
    """Tell which due times get their task now, and which one is the next."""

    due_times: list[datetime]
    next_due: datetime


@dataclass(frozen=True, kw_only=True)
class PeriodicTask:
    """Describe one periodic task; made by ``Outbox.periodic``. Raises OptionError."""

    name: str  # under which its due time is kept, up to 100 characters; by default the task type's
    task_type: str  # of the tasks that are enqueued
    cron: str  # a crontab line of 5 fields, or of 6 with seconds first; 0 and 7 are Sunday
    timezone: str = "UTC"  # in whose local time the line is meant, an IANA name
    arguments: Mapping[str, Any] = field(default_factory=dict)  # of each task
    misfire: Misfire = "once"  # times missed while nobody ran: one task for the first, one for each, or none
    grace_seconds: float = 60.0  # for "skip": a due time is missed when it has passed by more

    def __post_init__(self) -> None:
        require_text("name", self.name, PERIODIC_NAME_LENGTH, OptionError)
        if isinstance(self.arguments, Mapping):
            object.__setattr__(self, "arguments", dict(self.arguments))
        if self.misfire not in get_args(Misfire):
            raise OptionError(f"misfire is {shown(self.misfire)}; give 'once', 'all' or 'skip'")
        require_seconds("grace_seconds", self.grace_seconds, 0)

        plan_of(self.cron, self.timezone)

    @property
    def plan(self) -> Plan:
        """Return when it is due."""
        return plan_of(self.cron, self.timezone)

    def advance(self, plan: Plan, due: datetime, now: datetime) -> Advance:
        """Return what is to happen at ``now``, when ``due`` is the first time that got no task yet."""
        if self.misfire == "once":
            return Advance([due], plan.next_after(now))
        grace = timedelta(seconds=self.grace_seconds)
        if self.misfire == "skip" and now - due > grace:
            due = plan.next_after(now - grace - RESOLUTION)
        due_times: list[datetime] = []
        while due <= now and len(due_times) < MOST_AT_ONCE:
            due_times.append(due)
            due = plan.next_after(due)
        return Advance(due_times, due)
