"""The timetable: enqueues periodic tasks when they are due."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from asyncflow.events import PeriodicTasksEnqueued, StepFailed
from asyncflow.outbox import Call
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.cron.plan import Plan, plan_of
from asyncflow.outbox.declarations.periodic_task import DUE_TIME, NEVER, Advance, PeriodicTask
from asyncflow.outbox.queries import insert_absent
from asyncflow.scheduler.connections.again import run_again, run_once
from asyncflow.scheduler.instance import Instance
from asyncflow.scheduler.table.queries import read_clock
from asyncflow.scheduler.upkeep import queries

_LEAST_PAUSE_SECONDS = 0.005
_LONG_PAUSE_SECONDS = 1.0  # in which the connection is given back
_PAUSE_AFTER_FAILURE_SECONDS = 5.0


class Timetable:
    """Enqueue what is due and keep the next due times; one thread steps it.

    Any number of instances may look at once: a guarded update moves the next due time on, and the one that changed the
    row enqueues in the same transaction. What is due is told by the database's clock. An instance records the plan of
    its own code once, when it starts; after that it goes by the recorded one, so that two versions that run side by
    side have one plan, that of the later start.
    """

    def __init__(self, instance: Instance) -> None:
        self._outbox = instance.outbox
        self._database = instance.database()
        self._interval = instance.settings.periodic_interval_seconds
        self._hooks = instance.hooks
        self._recorded: set[str] = set()

    def step(self) -> float:
        """Enqueue what is due; return the seconds until the next due time, 0 if there may be more by now."""
        if not self._outbox.periodic_tasks:
            return self._interval
        began = time.monotonic()
        entries = run_again(self._database, self._read)
        waits = [self._tend(task, entries.get(task.name)) for task in list(self._outbox.periodic_tasks.values())]
        if min(waits) <= 0:
            return 0.0
        pause = min(self._interval, max(_LEAST_PAUSE_SECONDS, min(waits) - (time.monotonic() - began)))
        if pause > _LONG_PAUSE_SECONDS:
            self._database.close()
        return pause

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def _read(self, connection: Connection) -> dict[str, Row[Any]]:
        statement = queries.entries(self._outbox.periodic_entries, self._outbox.periodic_tasks)
        return {row.name: row for row in connection.execute(statement)}

    def _tend(self, task: PeriodicTask, entry: Row[Any] | None) -> float:
        """Do for one task what is to be done; return the seconds until it is due next, 0 to look at once."""
        try:
            return self._record(task) if entry is None else self._move_on_if_due(task, entry)
        except Exception as error:  # noqa: BLE001 - one that cannot be enqueued must not hold up the others
            self._hooks.emit(StepFailed("periodic", error, _PAUSE_AFTER_FAILURE_SECONDS))
            return _PAUSE_AFTER_FAILURE_SECONDS

    def _record(self, task: PeriodicTask) -> float:
        if run_again(self._database, lambda connection: self._insert(connection, task)):
            self._recorded.add(task.name)
        return 0.0

    def _insert(self, connection: Connection, task: PeriodicTask) -> int:
        entry = {
            "name": task.name,
            "cron": task.cron,
            "timezone": task.timezone,
            "next_due": task.plan.next_after(connection.execute(read_clock()).scalar_one()),
            "last_due": None,
            "modified_at": NO_TIME,
        }
        return insert_absent(connection, self._outbox.periodic_entries, [entry])

    def _move_on_if_due(self, task: PeriodicTask, entry: Row[Any]) -> float:
        if entry.next_due >= NEVER:  # paused: when it is resumed, the plan of this code is recorded
            return self._interval
        recorded = plan_of(entry.cron, entry.timezone)
        plan = recorded if task.name in self._recorded else task.plan
        advance = _advance(task, plan, entry) if plan != recorded or entry.next_due <= entry.now else None
        if advance is not None and not self._move_on(task, plan, entry, advance):
            return 0.0
        self._recorded.add(task.name)
        next_due: datetime = entry.next_due if advance is None else advance.next_due
        seconds: float = (next_due - entry.now).total_seconds()
        return seconds

    def _move_on(self, task: PeriodicTask, plan: Plan, entry: Row[Any], advance: Advance) -> bool:
        last_due = advance.due_times[-1] if advance.due_times else entry.last_due

        def write(connection: Connection) -> bool:
            return self._write(connection, task, plan, entry, advance)

        def trace(connection: Connection) -> bool | None:
            now = self._read(connection).get(task.name)
            return (now is not None and (now.next_due, now.last_due) == (advance.next_due, last_due)) or None

        if not run_once(self._database, write, trace):
            return False
        if advance.due_times:
            due, count = advance.due_times[0], len(advance.due_times)
            self._hooks.emit(PeriodicTasksEnqueued(task.name, task.task_type, due, count))
        return True

    def _write(self, connection: Connection, task: PeriodicTask, plan: Plan, entry: Row[Any], advance: Advance) -> bool:
        """Move the entry on and enqueue; return False, having done neither, if somebody else has moved it."""
        values = {
            "its_name": task.name,
            "its_due": entry.next_due,
            "old_cron": entry.cron,
            "old_timezone": entry.timezone,
            "its_cron": plan.cron,
            "its_timezone": plan.timezone,
            "its_next_due": advance.next_due,
            "its_last_due": advance.due_times[-1] if advance.due_times else entry.last_due,
        }
        if connection.execute(queries.advance(self._outbox.periodic_entries), values).rowcount != 1:
            return False
        calls = [Call(dict(task.arguments), headers={DUE_TIME: due.isoformat()}) for due in advance.due_times]
        self._outbox.enqueue_many(connection, task.task_type, calls)
        return True


def _advance(task: PeriodicTask, plan: Plan, entry: Row[Any]) -> Advance:
    """Return what is to happen with an entry that is due, or gets another plan."""
    if entry.next_due <= entry.now:
        return task.advance(plan, entry.next_due, entry.now)
    # Not before the last due time, though the clock may have been put back: no time is due twice.
    return Advance([], plan.next_after(max(entry.now, entry.last_due or entry.now)))
