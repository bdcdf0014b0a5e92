"""How the databases walk over dead letters: along an index, page by page, with nothing sorted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection

from asyncflow import Status
from asyncflow.scheduler import Selection
from asyncflow.scheduler.operator.walk import walk_of
from asyncflow.scheduler.table.queries import read_clock
from tests.integration.outbox.dialects.filled import fill
from tests.integration.outbox.dialects.store import Statements, Store

INDEX = "ix_asyncflow_task_head"


@pytest.fixture(scope="module")
def filled(made_store: Store) -> Iterator[Store]:
    """Give a store with 10,000 settled tasks among 20,000 that wait."""
    fill(made_store)
    yield made_store
    made_store.empty()


def explained(store: Store, connection: Connection, statement: tuple[str, Any]) -> str:
    prefix = "EXPLAIN QUERY PLAN " if store.engine.dialect.name == "sqlite" else "EXPLAIN "
    return "\n".join(str(tuple(row)) for row in connection.exec_driver_sql(prefix + statement[0], statement[1]))


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.PENDING])
def test_pages_follow_the_one_index_and_nothing_is_sorted(filled: Store, status: Status) -> None:
    outbox = filled.outbox
    with filled.engine.connect() as connection:
        until = connection.execute(read_clock()).scalar_one()
        walk = walk_of(Selection(task_type="type.1"), outbox, status, until)
        with Statements(filled.engine) as sent:
            places = walk.page(connection, None, 10)
            walk.page(connection, places[-1], 5)
        pages = [statement for statement in sent if "LIMIT" in statement[0] and "heads" not in statement[0]]
        for page in (pages[0], pages[-1]):
            plan = explained(filled, connection, page)
            assert INDEX in plan
            for sorting in ("filesort", "temporary", "Sort", "TEMP B-TREE"):
                assert sorting not in plan
