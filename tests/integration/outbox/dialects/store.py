"""A task table with one dialect's implementation, filled and read as the conformance suite needs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, Row, delete, event, select

from asyncflow import Message, Outbox
from asyncflow.outbox import Task
from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.dialects import DatabaseDialect, dialect_of
from asyncflow.outbox.message import Door, row_of
from asyncflow.outbox.status import Status
from asyncflow.scheduler.heads.queries import Head, read_heads, read_pages

DOOR = Door(64, 64 * 1024 * 1024)


class Store:
    """Hold an engine, an outbox with its tables made, and the dialect under test."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self.engine = engine
        self.outbox = outbox
        self.tasks = outbox.tasks
        self.dialect: DatabaseDialect = dialect_of(engine.dialect.name)

    def put(self, task_type: str = "a", shard: int = 0, at_seconds: float = -60, **values: Any) -> dict[str, Any]:
        """Insert one row; return its values."""
        row = self.row(task_type, shard, at_seconds, **values)
        self.put_all([row])
        return row

    def row(self, task_type: str = "a", shard: int = 0, at_seconds: float = -60, **values: Any) -> dict[str, Any]:
        declared = MessageType(name=task_type, destination="kafka", topic="topic")
        row = row_of(Message({"shard": shard}), declared, DOOR)
        return {**row, "shard": shard, "order_time": timedelta(seconds=at_seconds), **values}

    def put_all(self, rows: Sequence[dict[str, Any]], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Write rows in one transaction, and do something before its commit."""
        with self.engine.begin() as connection:
            self.dialect.insert_many(connection, self.tasks, rows)
            meanwhile()

    def heads(self, status: int = 0) -> list[Head]:
        with self.engine.connect() as connection:
            return read_heads(connection, self.tasks, Status(status))

    def lanes(self, status: int = 0) -> list[tuple[str, int]]:
        """Return the heads' task types and shards, sorted."""
        return sorted((head.task_type, head.shard) for head in self.heads(status))

    def pages(self, lanes: Sequence[tuple[str, int]], limit: int = 100) -> list[Task]:
        with self.engine.connect() as connection:
            return read_pages(connection, self.tasks, [Head(*lane, 0.0) for lane in lanes], limit)

    def rows(self) -> list[Row[Any]]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(self.tasks).order_by(self.tasks.c.id)))

    def empty(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(self.tasks))
            connection.execute(delete(self.outbox.shards))


class Statements:
    """Keep the statements that the driver is given while the context is open."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.sent: list[tuple[str, Any]] = []

    def __enter__(self) -> list[tuple[str, Any]]:
        event.listen(self._engine, "before_cursor_execute", self._keep)
        return self.sent

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._keep)

    def _keep(self, connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        self.sent.append((statement, parameters))
