"""What tasks leave when they are done: their results, and the tasks that follow them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.sql import ClauseElement

from asyncflow.events import TaskEnqueued
from asyncflow.outbox import Outbox
from asyncflow.outbox import queries as write_queries
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.dialects.raw_ids import raw_form
from asyncflow.outbox.outcome.follow_up import follow_up_in, row_of_follow_up
from asyncflow.outbox.outcome.telling import is_told
from asyncflow.outbox.status import Status
from asyncflow.outbox.task import uuid_of
from asyncflow.scheduler.table.contexts import Contexts
from asyncflow.scheduler.table.fingerprints import error_of
from asyncflow.scheduler.table.log_lines import log_line, short_error
from asyncflow.scheduler.table.outcome_messages import OutcomeMessages, ToldOutcome
from asyncflow.scheduler.worker.claiming import queries
from asyncflow.scheduler.worker.leaving.done_rows import end_handled
from asyncflow.scheduler.worker.leaving.results import Result
from asyncflow.text import told


class LastStatus(NamedTuple):
    """Hold how tasks end that are not done: what the statement is given, and the error that is told."""

    values: dict[str, Any]
    error: str


class Leavings:
    """Settle tasks that leave something, in the transaction of the connection given; has no state.

    Which of them the token holds is read under a lock first, so that what follows comes once, and only then. Rows that
    keep a result are not deleted.
    """

    def __init__(self, outbox: Outbox, *, deletes: bool) -> None:
        self._outbox = outbox
        self._tasks = outbox.tasks
        self._contexts = Contexts(outbox)
        self._outcomes = OutcomeMessages(outbox)
        self._deletes = deletes

    def leave(self, connection: Connection, token: UUID, results: Mapping[Any, Result | None]) -> int:
        """Mark SUCCESS what the token holds of the rows, by raw id; return how many."""
        values = {"ids": list(results), "token": token}
        held = {row[0]: row.headers for row in connection.execute(queries.lock_held(self._tasks), values)}
        told = {raw_id: _told(results[raw_id]) for raw_id, headers in held.items() if is_told(headers)}
        facts = self._outcomes.facts(connection, told) if told else {}
        plain = [raw_id for raw_id in held if not self._keep(connection, token, raw_id, results[raw_id])]
        if plain:
            end_handled(connection, self._tasks, token, plain, deletes=self._deletes)
        following = ((follow_up_in(headers), results[raw_id]) for raw_id, headers in held.items())
        self._insert(connection, [self._row(one, result) for one, result in following if one is not None])
        self._outcomes.write(connection, facts, told)
        return len(held)

    def end(self, connection: Connection, token: UUID, raw_ids: Sequence[Any], ending: LastStatus) -> int:
        """Give a last status to what the token holds of the rows, and tell of it; return how many."""
        values = {"ids": list(raw_ids), "token": token}
        held = [row[0] for row in connection.execute(queries.lock_held(self._tasks), values)]
        facts = self._outcomes.facts(connection, held) if held else {}
        changed = connection.execute(queries.end(self._tasks), {**values, **ending.values}).rowcount
        told = ToldOutcome(Status(ending.values["its_status"]).name.lower(), ending.error)
        self._outcomes.write(connection, facts, dict.fromkeys(held, told))
        return changed

    def _row(self, carried: dict[str, Any], result: Result | None) -> dict[str, Any]:
        """Return the row of a follow-up: a dead letter where its arguments cannot be read, for then it has no result.

        It must not hold up the outcome of the task before it, nor those that are written with it.
        """
        count, encryption = self._outbox.shard_count, self._outbox.encryption
        try:
            return row_of_follow_up(carried, result and result.text, count, encryption)
        except Exception as error:  # noqa: BLE001 - of an encryption hook; told on the row
            text = short_error(f"the result of the task before it is lost: {told(error)}")
            failed = {"status": int(Status.FAILED), "schedule_log": log_line(text)}
            row = row_of_follow_up({**carried, "result_as": None}, None, count, encryption)
            return {**row, **failed, "order_time": NO_TIME, "next_select_time": NO_TIME}

    def _keep(self, connection: Connection, token: UUID, raw_id: Any, result: Result | None) -> bool:
        """Settle a task with its result, if it has one to keep."""
        if result is None or not result.is_kept:
            return False
        held = {"ids": [raw_id], "token": token}
        statement = queries.succeed_with_result(self._tasks)
        return self._contexts.save(connection, statement, held, uuid_of(raw_id), result.text)

    def _insert(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        statement, at_a_moment = write_queries.insert_task(self._tasks), _with_expressions(rows)
        for row in at_a_moment:
            connection.execute(statement.values(row))
        if together := [row for row in rows if row not in at_a_moment]:
            dialect_of(connection.dialect.name).insert_many(connection, self._tasks, together, statement)
        for row in rows:
            self._outbox.bell.on_commit_of(connection, row["task_type"])
            self._outbox.hooks.emit(TaskEnqueued(row["id"], row["task_type"], row["task_key"]))
        if lost := [row for row in rows if row["status"] == Status.FAILED and is_told(row["headers"])]:
            errors = {raw_form(row["id"], connection.dialect.name): error_of(row["schedule_log"]) for row in lost}
            facts = self._outcomes.facts(connection, errors)
            self._outcomes.write(connection, facts, {raw_id: ToldOutcome("failed", errors[raw_id]) for raw_id in facts})


def _told(result: Result | None) -> ToldOutcome:
    return ToldOutcome("success", result=result.text if result is not None and result.is_kept else None)


def _with_expressions(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if isinstance(row["order_time"], ClauseElement)]
