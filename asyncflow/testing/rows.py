"""The rows of a drain: taken one by one, and settled, on the connection of the test's transaction."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from asyncflow.outbox import HandlerType, Outbox, Status, Task
from asyncflow.outbox.outcome.follow_up import has_follow_up
from asyncflow.outbox.outcome.telling import is_told
from asyncflow.scheduler.drained import Drained
from asyncflow.scheduler.relay.keys import queries as key_queries
from asyncflow.scheduler.relay.queries import settle_superseded
from asyncflow.scheduler.relay.settlement import SUPERSEDED
from asyncflow.scheduler.table.log_lines import log_line
from asyncflow.scheduler.worker.claiming import queries as claim_queries
from asyncflow.scheduler.worker.claiming.claim_rows import Checkpoint, ClaimRows
from asyncflow.scheduler.worker.leaving.results import Result
from asyncflow.scheduler.worker.verdict import Verdict
from asyncflow.testing import queries

_OWNER = "test"
_LEASE = timedelta(hours=1)


class Rows:
    """Take and settle tasks, and count what became of them; lives for one drain."""

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self.connection = connection
        self._outbox = outbox
        self._held_rows = ClaimRows(outbox, deletes=False)
        self._token = uuid.uuid4()
        self._tried: set[Any] = set()  # and to be left alone
        self._last_of_keys: dict[tuple[str, str | None], Any] = {}  # the latest, when it was asked what is due
        self._counts: Counter[str] = Counter()
        self.errors: list[BaseException] = []

    def due(self) -> Iterator[Any]:
        """Give the rows that are due, in their order, of types that this process does and that are not switched off."""
        rows = self.connection.execute(queries.waiting(self._outbox.tasks)).all()
        first = self._first_of_keys(rows)
        self._last_of_keys = {(row.task_type, row.task_key): row.id for row in sorted(rows, key=_turn_of)}
        for row in rows:
            is_first = first.get((row.task_type, row.task_key), row) is row
            if row.is_due and is_first and row.raw_id not in self._tried and self._is_done_here(row.task_type):
                yield row

    def leave(self, row: Any) -> None:
        """Leave a row as it is until the end."""
        self._tried.add(row.raw_id)

    def is_superseded(self, row: Any) -> bool:
        """Tell whether a later one of the row's key waits, or was sent."""
        if self._last_of_keys.get((row.task_type, row.task_key), row.id) != row.id:
            return True
        overtaken = key_queries.overtaken(self._outbox.tasks)
        return self.connection.execute(overtaken, {"ids": [row.raw_id]}).first() is not None

    def supersede(self, row: Any) -> None:
        """Write that a row is not sent."""
        named = {"ids": [row.raw_id], "line": log_line(SUPERSEDED)}
        self.connection.execute(settle_superseded(self._outbox.tasks), named)
        self._counts["cancelled"] += 1

    def take(self, row: Any) -> Any:
        """Claim a row; return its stage, context and attempts, None if somebody else took it."""
        tasks, held = self._outbox.tasks, self._held(row)
        self.connection.execute(claim_queries.claim(tasks), {**held, "its_owner": _OWNER, "lease": _LEASE})
        found = self.connection.execute(claim_queries.held(tasks, self._outbox.contexts), held).first()
        if found is None:
            self.leave(row)
        return found

    def checkpoint(self, row: Any, stage: str, context: str | None) -> None:
        """Write how far the work has come."""
        self._held_rows.checkpoint(self.connection, self._token, row.id, Checkpoint(stage, context))

    def settle(self, row: Any, verdict: Verdict, error: BaseException | None, result: Result | None = None) -> None:
        """Write what became of a row that was taken, and keep the error of an attempt that failed."""
        if verdict.status is Status.SUCCESS and (result or has_follow_up(row.headers) or is_told(row.headers)):
            self._held_rows.leave(self.connection, self._token, {row.raw_id: result})
        elif verdict.ends and is_told(row.headers):
            self._held_rows.end_and_tell(self.connection, verdict, self._token, [row.raw_id])
        else:
            self._held_rows.write(self.connection, verdict, self._token, [row.raw_id])
        # A pause ends when the test lets time pass, and not where the machine is slow.
        if not verdict.is_spent or verdict.delay_seconds > 0:
            self.leave(row)
        self._counts[_outcome(row.task_type in self._outbox.handler_types, verdict)] += 1
        if error is not None:
            self.errors.append(error)

    def drained(self, unreachable: Iterable[str]) -> Drained:
        """Tell of the whole drain."""
        left = Counter(row.task_type for row in self.connection.execute(queries.waiting(self._outbox.tasks)))
        counts = self._counts
        return Drained(
            sent=counts["sent"],
            done=counts["done"],
            retried=counts["retried"],
            failed=counts["failed"],
            cancelled=counts["cancelled"],
            left=dict(left),
            unreachable=tuple(sorted(unreachable)),
            errors=tuple(self.errors),
        )

    def _held(self, row: Any) -> dict[str, Any]:
        return {"ids": [row.raw_id], "token": self._token}

    def _first_of_keys(self, rows: Iterable[Any]) -> dict[tuple[str, str | None], Any]:
        """Return the first row of each key of an ordered type, due or not: the others wait for it."""
        first: dict[tuple[str, str | None], Any] = {}
        for row in rows:
            kind = self._outbox.task_types.get(row.task_type)
            if kind is not None and kind.ordered:
                key = (row.task_type, row.task_key)
                first[key] = min(first.get(key, row), row, key=_turn_of)
        return first

    def _is_done_here(self, name: str) -> bool:
        kind = self._outbox.task_types.get(name) or self._outbox.handler_types.get(name)
        if kind is None or not kind.enabled:
            return False
        return not isinstance(kind, HandlerType) or kind.handler is not None


def _turn_of(row: Any) -> tuple[Any, Any]:
    return row.created_at, row.id


def task_of(row: Any) -> Task:
    """Return the row as a relay or a worker reads it."""
    fields = (row.shard, row.task_key, row.headers, row.payload, row.retry_count, row.max_retries)
    return Task(row.raw_id, row.task_type, *fields)


def _outcome(is_handled: bool, verdict: Verdict) -> str:
    if verdict.status is Status.SUCCESS:
        return "done" if is_handled else "sent"
    if verdict.status is Status.PENDING:
        return "retried" if verdict.is_spent else ""
    return "failed" if verdict.status is Status.FAILED else "cancelled"
