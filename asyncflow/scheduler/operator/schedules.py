"""The jobs and the periodic tasks as the database records them: looked at, and jobs paused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Engine

from asyncflow.errors import OptionError, nearest
from asyncflow.outbox import Outbox
from asyncflow.outbox.declarations.periodic_task import NEVER
from asyncflow.outbox.options import require_whole
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator import look_queries
from asyncflow.scheduler.operator.audit import Act, Subject, noting
from asyncflow.text import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """Tell of one job of the user's own: what is recorded of it, and whether it is paused."""

    name: str
    sharding_total_count: int
    paused: bool
    config: Mapping[str, Any]
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicView:
    """Tell of one periodic task: by which plan it is due, when next, and which due time got its task last."""

    name: str
    cron: str
    timezone: str
    next_due: datetime
    last_due: datetime | None
    seconds_late: float  # since the due time that has no task yet; 0 if there is none
    paused: bool = False  # then it is due in the year 9000


class Schedules:
    """Look at jobs and periodic tasks; each call is a transaction of its own, and any thread may call."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox

    def jobs(self) -> list[JobView]:
        """Return the jobs that are recorded, by name."""
        statement = look_queries.jobs(self._outbox.jobs)
        rows = run_briefly(self._engine, lambda connection: connection.execute(statement).all())
        return [
            JobView(
                name=row.name,
                sharding_total_count=row.sharding_total_count,
                paused=bool(row.disabled),
                config=_config(row.config),
                modified_at=row.modified_at,
            )
            for row in rows
        ]

    def job(self, name: str) -> JobView:
        """Return one job; raises OptionError for one that is not recorded."""
        known = {job.name: job for job in self.jobs()}
        if name not in known:
            raise OptionError(f"there is no job {shown(name)}{nearest(name, known)}; asyncflow jobs list")
        return known[name]

    def pause(self, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
        """Let no further run of a job begin, in any instance; with an ``actor`` the audit tells who did it.

        Raises OptionError as ``job`` does.
        """
        self._switch(name, None if actor is None else Act("pause", actor, reason), is_off=True)

    def resume(self, name: str, *, actor: str | None = None, reason: str | None = None) -> None:
        """Let a job run again; raises OptionError as ``job`` does."""
        self._switch(name, None if actor is None else Act("resume", actor, reason), is_off=False)

    def switch_item(
        self, name: str, item: int, *, off: bool, actor: str | None = None, reason: str | None = None
    ) -> None:
        """Let no further run of one item of a job begin, or let it run again; raises OptionError as ``job`` does."""
        job = self.job(name)
        require_whole("item", item, 0, job.sharding_total_count - 1)
        act = None if actor is None else Act("disable" if off else "enable", actor, reason)
        statement = look_queries.disable_item(self._outbox.shards)
        note = noting(act, self._outbox.audit_entries, Subject.of("item", f"{name}/{item}"))

        def write(connection: Connection) -> None:
            connection.execute(statement, {"its_job": name, "its_item": item, "is_off": off})
            note(connection)

        run_briefly(self._engine, write)

    def periodic(self) -> list[PeriodicView]:
        """Return the periodic tasks that are recorded, those first that are due first."""
        statement = look_queries.periodic(self._outbox.periodic_entries)
        rows = run_briefly(self._engine, lambda connection: connection.execute(statement).all())
        return [
            PeriodicView(
                name=row.name,
                cron=row.cron,
                timezone=row.timezone,
                next_due=row.next_due,
                last_due=row.last_due,
                seconds_late=max(0.0, (row.now - row.next_due).total_seconds()),
                paused=row.next_due >= NEVER,
            )
            for row in rows
        ]

    def _switch(self, name: str, act: Act | None, *, is_off: bool) -> None:
        self.job(name)
        statement = look_queries.disable_job(self._outbox.jobs)
        note = noting(act, self._outbox.audit_entries, Subject.of("job", name))

        def write(connection: Connection) -> None:
            connection.execute(statement, {"its_name": name, "is_off": is_off})
            note(connection)

        run_briefly(self._engine, write)


def _config(text: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = orjson.loads(text)
    except ValueError:
        return {"unreadable": text}
    return found
