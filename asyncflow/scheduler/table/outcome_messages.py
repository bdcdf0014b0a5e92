"""The messages that tell of outcomes: written in the transaction of the settle, for tasks whose type asked for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Row

from asyncflow.events import TaskEnqueued
from asyncflow.outbox import MessageType, Outbox
from asyncflow.outbox import queries as write_queries
from asyncflow.outbox.clock import NO_TIME
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.encryption.marks import is_encrypted
from asyncflow.outbox.ids import new_id, shard_of_key
from asyncflow.outbox.outcome.telling import Telling, telling_in
from asyncflow.outbox.status import Status
from asyncflow.outbox.writing import turns
from asyncflow.scheduler.table import queries
from asyncflow.scheduler.table.fingerprints import error_of, fingerprint_of, normalised

_ROOM = 2048  # for all but the result


class ToldOutcome(NamedTuple):
    """Tell what became of a task, beside what its row holds."""

    outcome: str  # success, failed, cancelled or discarded
    error: str = ""
    result: str | None = None  # as JSON, where it is kept


class OutcomeMessages:
    """Write a message for each outcome in the transaction of the connection given; has no state, any thread uses it.

    All are of one form, whether their type is ordered or not: in the shard of their key, which is the task's id, by a
    turn that is drawn here. So those of a task go in order where the type is ordered, also when a process writes them
    that knows no declaration.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._tasks = outbox.tasks

    def facts(self, connection: Connection, raw_ids: Collection[Any]) -> dict[Any, Row[Any]]:
        """Read what is told of rows, before they are settled or deleted, by raw id."""
        rows = connection.execute(queries.facts(self._tasks), {"ids": list(raw_ids)})
        return {row[0]: row for row in rows}

    def write(
        self,
        connection: Connection,
        facts: Mapping[Any, Row[Any]],
        told: Mapping[Any, ToldOutcome],
        shard_count: int | None = None,
    ) -> None:
        """Write a message for each of the rows that were told of and asked for it.

        ``shard_count`` is given where the outbox may have another than the application.
        """
        asked = [(row, telling_in(row.headers)) for raw_id, row in facts.items() if raw_id in told]
        pairs = [(row, telling) for row, telling in asked if telling is not None]
        rows = [self._row(row, telling, told[row[0]]) for row, telling in pairs]
        count = shard_count or self._outbox.shard_count
        in_shards = [{**row, "shard": shard_of_key(row["task_key"], count)} for row in rows]
        if rows:
            self._insert(connection, sorted(in_shards, key=lambda row: row["id"]))

    def _row(self, row: Row[Any], telling: Telling, told: ToldOutcome) -> dict[str, Any]:
        """Return the message about a task, yet in no shard; if it cannot be encrypted, without what the task made."""
        message = self._message(row, telling, self._body(row, told))
        kind = self._outbox.task_types.get(telling.task_type)
        if self._outbox.encryption and isinstance(kind, MessageType):
            try:
                self._outbox.encryption.encrypt_row(message, kind, 2**31 - 1)
            except Exception:  # noqa: BLE001 - of a hook: it must not hold up the settle
                return self._message(row, telling, self._body(row, ToldOutcome(told.outcome)))
        return message

    def _body(self, row: Row[Any], told: ToldOutcome) -> bytes:
        body: dict[str, Any] = {
            "task_id": str(row.id),
            "task_type": row.task_type,
            "key": row.task_key,
            "outcome": told.outcome,
            "attempts": row.retry_count,
            "enqueued_at": _moment(row.created_at),
            "settled_at": _moment(row.now),
        }
        if told.error:
            error = normalised(error_of(told.error))  # a worker elsewhere tells where it was raised, too
            body["error_group"] = fingerprint_of(row.task_type, error)
            if not is_encrypted(row.headers):
                body["error"] = error
        if told.result is not None:
            body["result"] = orjson.Fragment(told.result)
            if len(told.result.encode()) > self._outbox.max_message_bytes - _ROOM:
                body["result"], body["result_is_left_out"] = None, True
        return orjson.dumps(body)

    def _message(self, row: Row[Any], telling: Telling, body: bytes) -> dict[str, Any]:
        return {
            "id": new_id(),
            "task_type": telling.task_type,
            "task_key": str(row.id),
            "status": int(Status.PENDING),
            "priority": 0,
            "next_select_time": NO_TIME,
            "retry_count": 0,
            "max_retries": telling.max_retries,
            "headers": None,
            "payload": body,
            "schedule_log": None,
            "modified_at": NO_TIME,
        }

    def _insert(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        turn = turns.draw(connection, self._outbox.turns)
        statement, dialect = write_queries.insert_ordered_task(self._tasks), dialect_of(connection.dialect.name)
        with_turn = [{**row, "turn": turn} for row in rows]
        dialect.insert_many(connection, self._tasks, with_turn, statement)
        for name in sorted({row["task_type"] for row in rows}):
            self._outbox.bell.on_commit_of(connection, name)
        for row in rows:
            self._outbox.hooks.emit(TaskEnqueued(row["id"], row["task_type"], row["task_key"]))


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
