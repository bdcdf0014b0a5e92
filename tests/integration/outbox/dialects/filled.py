"""A table as it looks after a while: many pending rows over types and shards, and settled ones between."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from asyncflow import Message, Status
from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.message import row_of
from asyncflow.scheduler.heads.queries import read_heads, read_pages
from tests.integration.outbox.dialects.store import DOOR, Statements, Store

TYPES = [MessageType(name=f"type.{number}", destination="kafka", topic="topic") for number in range(5)]
PENDING, SETTLED = 20_000, 10_000
LANES = len(TYPES) * 64
LIMIT = 20

Statement = tuple[str, Any]


def fill(store: Store, *, analyzes: bool = True, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Write 20,000 due tasks and 10,000 settled ones, and let the planner look at them."""
    chance = random.Random(7)
    rows = []
    for number in range(PENDING + SETTLED):
        row = row_of(Message(None, priority=chance.randrange(1, 100_000)), _built(number), DOOR)
        if number % 3 == 2:
            row["status"] = int(chance.choice([Status.SUCCESS, Status.SUCCESS, Status.FAILED]))
        rows.append(row)
    store.put_all(rows, meanwhile)
    if analyzes:
        analyze(store)


def analyze(store: Store) -> None:
    """Let the planner look at the table as it is now."""
    words = "ANALYZE TABLE" if store.engine.dialect.name == "mysql" else "ANALYZE"
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"{words} {store.tasks.fullname}"))


def _built(number: int) -> MessageType:
    task_type = TYPES[number % len(TYPES)]
    task_type.builder = lambda session, tasks: [None for _ in tasks]
    return task_type


class Plans:
    """Hold the statements of heads and fetch just as the relay sends them, and run them once more."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with Statements(store.engine) as sent, store.engine.connect() as connection:
            heads = read_heads(connection, store.tasks, Status.PENDING)
            assert len(heads) == LANES
            read_pages(connection, store.tasks, heads[:1], LIMIT)
            read_pages(connection, store.tasks, heads[:64], LIMIT)
        self.heads, self.page, self.pages = sent

    def run(self, statement: Statement, prefix: str = "") -> list[Any]:
        text_, parameters = statement
        with self.store.engine.connect() as connection:
            return list(connection.exec_driver_sql(prefix + text_, parameters))
