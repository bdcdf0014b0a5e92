"""Runs of jobs out of their turn, and due times of periodic tasks that are set by hand."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine

from asyncflow.errors import OptionError, nearest
from asyncflow.outbox import Outbox
from asyncflow.outbox.cron.plan import plan_of
from asyncflow.outbox.declarations.periodic_task import NEVER
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator.audit import Act, Subject
from asyncflow.scheduler.operator.by_hand import queries
from asyncflow.scheduler.operator.schedules import PeriodicView, Schedules
from asyncflow.scheduler.table.queries import read_clock
from asyncflow.text import shown


class Triggers:
    """Let jobs run and periodic tasks come due now, or not at all; any thread may call.

    Each call is a transaction with its row of the audit, and may be made again.
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
        note = act.writing(self._outbox.audit_entries, Subject.of("job", name))

        def write(connection: Connection) -> int:
            owed = connection.execute(queries.owe_runs(self._outbox.shards), {"its_job": name}).rowcount
            if owed:
                note(connection)
            return owed

        owed = run_briefly(self._engine, write)
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
        return self._write(act, name, lambda connection: self._is_due_now(connection, name))

    def pause_periodic(self, name: str, *, actor: str, reason: str | None = None) -> bool:
        """Let a periodic task be due no more; return False if it is paused already. Raises OptionError."""
        act = Act("pause", actor, reason)
        self._periodic(name)
        statement = queries.be_due_at(self._outbox.periodic_entries, was_paused=False)
        values = {"its_name": name, "never": NEVER, "its_due": NEVER}
        return self._write(act, name, lambda connection: bool(connection.execute(statement, values).rowcount))

    def resume_periodic(self, name: str, *, actor: str, reason: str | None = None) -> bool:
        """Let a periodic task be due again, for the first time after now; return False if it was not paused.

        What would have been due meanwhile is not made up for. Raises OptionError.
        """
        act, entry = Act("resume", actor, reason), self._periodic(name)
        statement = queries.be_due_at(self._outbox.periodic_entries, was_paused=True)

        def write(connection: Connection) -> bool:
            due = plan_of(entry.cron, entry.timezone).next_after(connection.execute(read_clock()).scalar_one())
            values = {"its_name": name, "never": NEVER, "its_due": due}
            return bool(connection.execute(statement, values).rowcount)

        return self._write(act, name, write)

    def _is_due_now(self, connection: Connection, name: str) -> bool:
        values = {"its_name": name, "never": NEVER}
        return bool(connection.execute(queries.be_due_now(self._outbox.periodic_entries), values).rowcount)

    def _write(self, act: Act, name: str, change: Callable[[Connection], bool]) -> bool:
        """Change and note it; what a first attempt has changed, though its answer was lost, counts as changed."""
        note, changed = act.writing(self._outbox.audit_entries, Subject.of("periodic", name)), [False]

        def write(connection: Connection) -> None:
            changed[0] |= change(connection)
            if changed[0]:
                note(connection)

        run_briefly(self._engine, write)
        return changed[0]

    def _periodic(self, name: str) -> PeriodicView:
        known = {one.name: one for one in self._schedules.periodic()}
        if name not in known:
            raise OptionError(f"there is no periodic task {shown(name)}{nearest(name, known)}; asyncflow periodic")
        return known[name]
