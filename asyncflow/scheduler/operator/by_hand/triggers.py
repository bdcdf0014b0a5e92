"""Runs of jobs out of their turn, and due times of periodic tasks that are set by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Update

from asyncflow.errors import OptionError, nearest
from asyncflow.outbox import Outbox
from asyncflow.outbox.cron.plan import plan_of
from asyncflow.outbox.declarations.periodic_task import NEVER
from asyncflow.scheduler.connections.again import run_once
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.operator.audit import Act, Subject
from asyncflow.scheduler.operator.by_hand import queries
from asyncflow.scheduler.operator.schedules import PeriodicView, Schedules
from asyncflow.scheduler.table.queries import read_clock
from asyncflow.text import shown


class _Happened(Exception):  # noqa: N818 - no failure: the one who wrote it catches it
    """An attempt whose answer was lost has happened after all."""


class Triggers:
    """Let jobs run and periodic tasks come due now, or not at all; any thread may call.

    Each call is a transaction with its row of the audit, which takes effect once.
    """

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox
        self._schedules = Schedules(engine, outbox)

    def run_job(self, name: str, *, actor: str, reason: str | None = None) -> int:
        """Let each item of a job have one run more, within a second; return how many items there are.

        Their owners see it with their heartbeats. An item that is at work runs once more when it is done, unless the
        job has ``misfire=False``. Raises OptionError for a job that is not recorded, is paused or has no items.
        """
        act, job = Act("trigger", actor, reason), self._schedules.job(name)
        if job.paused:
            raise OptionError(f"the job {shown(name)} is paused; asyncflow jobs resume first")
        statement = queries.owe_runs(self._outbox.shards)
        change = partial(_count, statement=statement, values={"its_job": name})
        owed = self._once(act, Subject.of("job", name), change)
        if not owed:
            raise OptionError(f"the job {shown(name)} has no item that is switched on; does any scheduler run it?")
        return owed

    def periodic_now(self, name: str, *, actor: str, reason: str | None = None) -> bool:
        """Let a periodic task be due now; return False, having changed nothing, if it was due already.

        A scheduler that declares it enqueues its task at its next look, within ``periodic_interval_seconds``. Raises
        OptionError for one that is not recorded, or is paused.
        """
        act = Act("trigger", actor, reason)
        if self._periodic(name).paused:
            raise OptionError(f"the periodic task {shown(name)} is paused; asyncflow periodic --resume first")
        change = partial(_count, statement=queries.be_due_now(self._outbox.periodic_entries), values=_named(name))
        return self._write(act, name, change)

    def pause_periodic(self, name: str, *, actor: str, reason: str | None = None) -> bool:
        """Let a periodic task be due no more; return False if it is paused already. Raises OptionError."""
        act = Act("pause", actor, reason)
        self._periodic(name)
        statement = queries.be_due_at(self._outbox.periodic_entries, was_paused=False)
        return self._write(act, name, partial(_count, statement=statement, values={**_named(name), "its_due": NEVER}))

    def resume_periodic(self, name: str, *, actor: str, reason: str | None = None) -> bool:
        """Let a periodic task be due again, for the first time after now; return False if it was not paused.

        What would have been due meanwhile is not made up for. Raises OptionError.
        """
        act, entry = Act("resume", actor, reason), self._periodic(name)
        statement = queries.be_due_at(self._outbox.periodic_entries, was_paused=True)

        def change(connection: Connection) -> int:
            due = plan_of(entry.cron, entry.timezone).next_after(connection.execute(read_clock()).scalar_one())
            return _count(connection, statement, {**_named(name), "its_due": due})

        return self._write(act, name, change)

    def _write(self, act: Act, name: str, change: Callable[[Connection], int]) -> bool:
        return bool(self._once(act, Subject.of("periodic", name), change))

    def _once(self, act: Act, subject: Subject, change: Callable[[Connection], int]) -> int:
        """Change rows and note it; return how many.

        Once, though the answer to the COMMIT be lost: what the first attempt has set off may be done by the second.
        """
        entry, counts = act.entry(self._outbox.audit_entries, subject), list[int]()

        def work(connection: Connection) -> int:
            count = change(connection)
            if count and not entry.write(connection):
                raise _Happened  # late; what this attempt has changed is rolled back
            counts.append(count)
            return count

        try:
            with Database(self._engine) as database:
                return run_once(database, work, lambda c: counts[-1] if counts and entry.is_there(c) else None)
        except _Happened:
            return counts[-1]

    def _periodic(self, name: str) -> PeriodicView:
        known = {one.name: one for one in self._schedules.periodic()}
        if name not in known:
            raise OptionError(f"there is no periodic task {shown(name)}{nearest(name, known)}; asyncflow periodic")
        return known[name]


def _count(connection: Connection, statement: Update, values: Mapping[str, Any]) -> int:
    """Change rows; return how many."""
    return connection.execute(statement, values).rowcount


def _named(name: str) -> dict[str, Any]:
    return {"its_name": name, "never": NEVER}
