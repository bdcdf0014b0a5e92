"""The rows of claims: what is read and written under their tokens, whoever holds them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Row

from asyncflow.errors import ClaimLostError
from asyncflow.outbox import Outbox
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.status import Status
from asyncflow.scheduler.table.contexts import Contexts
from asyncflow.scheduler.table.log_lines import log_line
from asyncflow.scheduler.worker.claiming import queries
from asyncflow.scheduler.worker.leaving.done_rows import end_handled
from asyncflow.scheduler.worker.leaving.leavings import LastStatus, Leavings
from asyncflow.scheduler.worker.leaving.results import Result
from asyncflow.scheduler.worker.verdict import Verdict

K = TypeVar("K")
T = TypeVar("T")


class Checkpoint(NamedTuple):
    """Tell how far some work has come; its claim lasts for another lease, or as long as before."""

    stage: str
    context: str | None  # as JSON
    lease: timedelta | None = None


class ClaimRows:
    """Renew, mark and settle rows that are held, in the transaction of the connection given; any thread uses it.

    One token holds all rows of a claim, named by their raw ids. ``deletes``: of rows that were handled.
    """

    def __init__(self, outbox: Outbox, *, deletes: bool) -> None:
        self._tasks = outbox.tasks
        self._overflow = outbox.contexts
        self._contexts = Contexts(outbox)
        self._deletes = deletes
        self._leavings = Leavings(outbox, deletes=deletes)

    def held(self, connection: Connection, token: UUID, raw_ids: Collection[Any]) -> dict[Any, Row[Any]]:
        """Read those of the rows that the token holds, by raw id: stage, context, attempts and owner of each."""
        rows = connection.execute(queries.held(self._tasks, self._overflow), _named(token, raw_ids))
        return {row[0]: row for row in rows}

    def renew(
        self, connection: Connection, claims: Iterable[tuple[UUID, Any]], lease: timedelta, *, is_heard: bool = False
    ) -> set[Any]:
        """Let claims, tokens with raw ids, last for another lease; return the raw ids of those that are lost.

        ``is_heard``: their worker asks for it, so it was given them.
        """
        statement = (queries.renew_heard if is_heard else queries.renew)(self._tasks)
        lost: set[Any] = set()
        for token, raw_ids in grouped(claims).items():
            if connection.execute(statement, {**_named(token, raw_ids), "lease": lease}).rowcount != len(raw_ids):
                lost |= set(raw_ids) - self.held(connection, token, raw_ids).keys()
        return lost

    def begin(self, connection: Connection, token: UUID, raw_id: Any, owner: str) -> bool:
        """Write down that the attempt counts; return whether the token holds the row."""
        values = {**_named(token, [raw_id]), "its_owner": owner}
        return bool(connection.execute(queries.begin(self._tasks), values).rowcount)

    def checkpoint(self, connection: Connection, token: UUID, task_id: UUID, reached: Checkpoint) -> bool:
        """Write how far the work has come; return whether the token holds the row."""
        values = {**_named(token, [raw_form(task_id, connection.dialect.name)]), "its_stage": reached.stage}
        statement = queries.mark(self._tasks)
        if reached.lease is not None:
            statement, values = queries.checkpoint(self._tasks), {**values, "lease": reached.lease}
        return self._contexts.save(connection, statement, values, task_id, reached.context)

    def write(self, connection: Connection, verdict: Verdict, token: UUID, raw_ids: Sequence[Any]) -> int:
        """Write one verdict; return how many rows the token held."""
        if verdict.status is Status.SUCCESS:
            return end_handled(connection, self._tasks, token, raw_ids, deletes=self._deletes)
        values = {**_named(token, raw_ids), "line": log_line(verdict.error, verdict.frames) if verdict.error else ""}
        if verdict.status is Status.PENDING:
            values |= {"delay": timedelta(seconds=verdict.delay_seconds), "refund": int(not verdict.is_spent)}
            return connection.execute(queries.postpone(self._tasks), values).rowcount
        return connection.execute(queries.end(self._tasks), {**values, "its_status": int(verdict.status)}).rowcount

    def end_and_tell(self, connection: Connection, verdict: Verdict, token: UUID, raw_ids: Sequence[Any]) -> int:
        """Write FAILED or CANCELLED, with the messages that tell of it; return how many rows the token held."""
        line = log_line(verdict.error, verdict.frames) if verdict.error else ""
        ending = LastStatus({"line": line, "its_status": int(verdict.status)}, verdict.error)
        return self._leavings.end(connection, token, raw_ids, ending)

    def leave(self, connection: Connection, token: UUID, results: Mapping[Any, Result | None]) -> int:
        """Write SUCCESS, and what the tasks leave, by raw id; return how many rows the token held."""
        return self._leavings.leave(connection, token, results)

    def with_locked_contexts(self, connection: Connection, raw_ids: Sequence[Any]) -> set[Any]:
        """Return those of the rows whose contexts somebody else has locked, which are written or deleted with them."""
        return self._contexts.locked(connection, raw_ids)

    def forget_contexts(self, connection: Connection, raw_ids: Sequence[Any]) -> None:
        """Delete what the checkpoints of handled tasks have left, where their rows are deleted."""
        if self._deletes:
            self._contexts.forget(connection, raw_ids)


def grouped(items: Iterable[tuple[K, T]]) -> dict[K, list[T]]:
    """Return what has the same key together, in order."""
    groups: defaultdict[K, list[T]] = defaultdict(list)
    for key, item in items:
        groups[key].append(item)
    return groups


def claim_lost(task_id: UUID) -> ClaimLostError:
    """Return the error for who asks for a claim that is lost."""
    return ClaimLostError(
        f"the claim on task {task_id} ran out or the task is settled; nothing was written, leave it alone"
    )


def _named(token: UUID, raw_ids: Collection[Any]) -> dict[str, Any]:
    return {"ids": list(raw_ids), "token": token}
