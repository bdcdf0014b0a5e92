"""The monitor: finds PROCESSING tasks whose claim ran out, and gives them back or fails them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from asyncflow.outbox import Outbox
from asyncflow.outbox.events import ClaimsRanOut, Hooks, TaskFailed
from asyncflow.outbox.handler_type import HandlerType
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import uuid_of
from asyncflow.scheduler import claim_queries, queries
from asyncflow.scheduler.database import Database
from asyncflow.scheduler.limits import Limits
from asyncflow.scheduler.locked_rows import sort_out
from asyncflow.scheduler.lookout import Lookout, Rest
from asyncflow.scheduler.queries import Head
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.settlement import log_line

_PAGE = 500
_LONG = 86400.0
_ERROR = "the claim ran out: the worker died, hung or was cut off"

_Rescued = tuple[int, int, list[tuple[Any, int]]]  # how many ran out, were given back; which failed, by attempts


class Monitor:
    """Rescue one page a step, of the ``shards`` to look after and of known types; one thread steps it.

    Any number may look at once: each write asks again whether the claim has run out. The attempt was counted when the
    task was claimed, so a task that kills its worker each time spends its retries like any other.
    """

    def __init__(
        self,
        outbox: Outbox,
        engine: Engine,
        shards: Callable[[], Collection[int]],
        settings: SchedulerSettings,
        types: Mapping[str, HandlerType],
        hooks: Hooks,
    ) -> None:
        self._outbox = outbox
        self._types = types
        self._database = Database(engine, limits=Limits.within(settings.lease_seconds))
        self._shards = shards
        self._settings = settings
        self._hooks = hooks
        self._rest: Rest | None = None

    def step(self) -> float:
        """Rescue what ran out; return the seconds until the next look."""
        shards = frozenset(self._shards())
        if not self._types or (self._rest is not None and self._rest.lasts(shards)):
            return self._settings.monitor_interval_seconds
        heads = self._ran_out_heads()
        is_full = [self._rescue(head, self._types[head.task_type]) for head in heads]
        if self._rest is not None:
            self._rest.after_work() if heads else self._rest.after_nothing(shards, _LONG)
        if any(is_full):
            return 0.0
        # Looks are seconds apart; the application has other uses for a connection.
        self.close()
        return self._settings.monitor_interval_seconds

    def rely_on(self, lookout: Lookout) -> None:
        """Do without looks of its own while the lookout looks."""
        self._rest = lookout.rest_for(lambda head: head.task_type in self._types, Status.PROCESSING)

    def close(self) -> None:
        """Give the connection back."""
        self._database.close()

    def _ran_out_heads(self) -> list[Head]:
        tasks, dialect, owned = self._outbox.tasks, self._database.dialect, self._shards()
        heads = self._database.run(
            lambda connection: queries.read_heads(connection, dialect, tasks, int(Status.PROCESSING))
        )
        known = self._types
        return [head for head in heads if head.shard in owned and head.due_in_seconds <= 0 and head.task_type in known]

    def _when_locked(self, work: Callable[[Connection], _Rescued]) -> Callable[[Connection], _Rescued] | None:
        return work if self._database.skips_locked else None

    def _rescue(self, head: Head, task_type: HandlerType) -> bool:
        """Rescue a page; return whether there may be more."""
        found, given_back, failed = self._database.run(
            lambda connection: self._write(connection, head, task_type),
            self._when_locked(lambda connection: self._write(connection, head, task_type, of_free=True)),
        )
        for raw_id, attempts in failed:
            self._hooks.emit(TaskFailed(uuid_of(raw_id), head.task_type, attempts, _ERROR))
        if given_back or failed:
            self._hooks.emit(ClaimsRanOut(head.task_type, given_back, len(failed)))
        return found == _PAGE

    def _write(self, connection: Connection, head: Head, task_type: HandlerType, *, of_free: bool = False) -> _Rescued:
        tasks = self._outbox.tasks
        wanted = {"task_type": head.task_type, "shard": head.shard, "limit": _PAGE}
        rows = list(connection.execute(claim_queries.ran_out(tasks), wanted))
        if of_free:
            free = sort_out(connection, tasks, [row[0] for row in rows], Status.PROCESSING).free
            rows = [row for row in rows if row[0] in free]
        line = log_line(_ERROR)
        again: dict[float, list[Any]] = defaultdict(list)
        failed = []
        for raw_id, attempts, max_retries in rows:
            if attempts <= task_type.most_retries(max_retries):
                again[task_type.retry_delay(attempts)].append(raw_id)
                continue
            # One by one: each that is failed is told of, and one renewed meanwhile is not.
            values = {"ids": [raw_id], "line": line, "its_status": int(Status.FAILED)}
            if connection.execute(claim_queries.end_ran_out(tasks), values).rowcount:
                failed.append((raw_id, attempts))
        given_back = 0
        for delay, ids in again.items():
            values = {"ids": ids, "line": line, "delay": timedelta(seconds=delay), "refund": 0}
            given_back += connection.execute(claim_queries.give_back(tasks), values).rowcount
        return len(rows), given_back, failed
