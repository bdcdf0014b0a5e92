"""The write of task rows into the caller's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, event, literal
from sqlalchemy.orm import Session, registry
from sqlalchemy.sql import ClauseElement

from asyncflow.errors import WrongTargetError
from asyncflow.events import Hooks, TaskEnqueued
from asyncflow.outbox import queries
from asyncflow.outbox.clock import Instant
from asyncflow.outbox.declarations.task_type import MessageType, TaskTypes
from asyncflow.outbox.dedupe import Dedupe, Enqueued
from asyncflow.outbox.dialects import dialect_of
from asyncflow.outbox.tables import WORKER_COLUMNS, Tables
from asyncflow.outbox.transaction.carrying import require_carried, require_exact
from asyncflow.outbox.transaction.target import (
    Caller,
    connection_of,
    require_joining,
    require_transactional,
    require_untranslated,
)
from asyncflow.outbox.transaction.wakeup import Bell
from asyncflow.outbox.unique.keys import Keys
from asyncflow.outbox.unique.unique_keys import UniqueKeys
from asyncflow.outbox.writing import turns


class Writer:
    """Write rows for one outbox; lives as long as it, any thread may call.

    A row joins a session's next flush, unless it is one of a bulk, or has a key that is looked up.
    """

    def __init__(self, tables: Tables, types: TaskTypes[MessageType], bell: Bell, hooks: Hooks) -> None:
        self._tables = tables
        self._types = types
        self._bell = bell
        self._hooks = hooks
        self._dedupe = Dedupe(tables.dedupe_entries)
        self._unique = UniqueKeys(tables.unique_entries, tables.tasks)
        self._written = (tables.tasks, tables.dedupe_entries, tables.unique_entries)
        self._row_class = _map_rows(self._written)
        event.listen(self._row_class, "before_insert", self._draw_turn)

    def add(
        self,
        caller: Caller,
        name: str,
        rows: list[dict[str, Any]],
        keys: Keys | None,
        *,
        bulk: bool,
    ) -> list[Enqueued]:
        """Write rows of one type, with the keys of each, if there are any; at once if ``bulk``.

        Tells of each whether it is new; one whose key has a task is not written. Raises WrongTargetError,
        NotTransactionalError, RefusedError, or what the database raises.
        """
        target = caller.target
        if keys is not None:
            enqueued = self._sift(caller, name, rows, keys)
            rows = [row for row, one in zip(rows, enqueued, strict=True) if one.is_new]
            bulk = True
        else:
            enqueued = [Enqueued(row["id"], True) for row in rows]
        # What an AsyncSession holds can be flushed only where it awaits; the others take a bulk at once.
        at_once = isinstance(target, Connection) or (bulk and not caller.is_async)
        if rows:
            self._insert(target, rows, at_once=at_once)
            if not self._is_captured(name):
                self._bell.on_commit_of(target, name)
        if self._hooks:
            for row in rows:
                self._hooks.emit(TaskEnqueued(row["id"], name, row["task_key"]))
        return enqueued

    def _sift(self, caller: Caller, name: str, rows: list[dict[str, Any]], keys: Keys) -> list[Enqueued]:
        if caller.is_async:
            raise WrongTargetError(
                "an idempotency_key or a unique_key is looked up at once, which an AsyncSession does only where it "
                "awaits: await outbox.enqueue_async(session, ..., idempotency_key=...), or publish_async"
            )
        connection = connection_of(caller.target, queries.insert_task(self._tables.tasks), self._row_class.__mapper__)
        require_untranslated(connection, self._tables.tasks)
        require_carried(connection, self._written, rows)
        found = {row["id"]: Enqueued(row["id"], True) for row in rows}
        for known, of_rows in ((self._dedupe, keys.idempotency), (self._unique, keys.unique)):
            if of_rows is not None:
                require_exact(connection, of_rows)
                its = zip(rows, known.sift(connection, name, rows, of_rows), strict=True)
                found |= {row["id"]: one for row, one in its if not one.is_new}
        return [found[row["id"]] for row in rows]

    def _insert(self, target: Session | Connection, rows: list[dict[str, Any]], *, at_once: bool) -> None:
        statement, mapper = queries.insert_task(self._tables.tasks), self._row_class.__mapper__
        if isinstance(target, Session) and not at_once:
            require_joining(target, statement, mapper)
            target.add_all([self._row_class(row) for row in rows])
            return
        connection = connection_of(target, statement, mapper)
        require_untranslated(connection, self._tables.tasks)
        require_carried(connection, self._written, rows)
        if self._is_ordered(rows[0]["task_type"]):
            turn = turns.draw(connection, self._tables.turns)
            rows = [{**_without_times(row), "turn": turn} for row in rows]
            statement = queries.insert_ordered_task(self._tables.tasks)
        if any(isinstance(row.get("order_time"), ClauseElement) for row in rows):
            for row in rows:  # an expression of its own in each: no statement serves two of them
                connection.execute(statement.values(row))
        elif len(rows) == 1:
            connection.execute(statement, rows[0])
        else:
            dialect_of(connection.dialect.name).insert_many(connection, self._tables.tasks, rows, statement)

    def _is_ordered(self, name: str) -> bool:
        return name in self._types and self._types[name].ordered

    def _is_captured(self, name: str) -> bool:
        return name in self._types and self._types[name].captured

    def _draw_turn(self, _: Any, connection: Connection, row: Any) -> None:
        """Give a row of an ordered type its turn as late as it is flushed: then its transaction has its locks."""
        values = row.__dict__
        if self._is_ordered(values["task_type"]):
            values["order_time"] = values["created_at"] = literal(turns.draw(connection, self._tables.turns), Instant())


def _without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("order_time", "created_at")}


def _map_rows(written: tuple[Table, ...]) -> type[Any]:
    """Map a private class to the first of the tables, so that a Session can hold rows whatever the application maps."""

    class TaskRow:
        # What listeners read of every object in a session, and columns that are not mapped.
        __tablename__, __table__ = written[0].name, written[0]
        stage = context = owner = claim_token = None

        def __init__(self, values: dict[str, Any]) -> None:
            # A flush inserts what stands in __dict__; fifteen attribute events would tell nobody anything.
            self.__dict__.update(values)

    # Without the columns of the workers: the ORM would write a NULL for each that is mapped.
    registry().map_imperatively(TaskRow, written[0], eager_defaults=False, exclude_properties=WORKER_COLUMNS)

    # A session can choose its isolation level, and a tenant's schema, after publish(), with the first statement.
    def require(_: Any, connection: Connection, row: Any) -> None:
        require_transactional(connection)
        require_untranslated(connection, written[0])
        require_carried(connection, written, (row.__dict__,))

    event.listen(TaskRow, "before_insert", require)
    return TaskRow
