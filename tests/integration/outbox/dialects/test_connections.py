"""The run side's own connections: taken from the application's pool, and given back as they were."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from asyncflow import Status
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.heads.queries import read_heads
from tests.integration.outbox.dialects.store import Store
from tests.support.databases import open_engine


def test_no_plan_is_kept_that_was_made_for_an_empty_table(store: Store) -> None:
    if store.engine.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL's driver prepares statements by itself")
    database = Database(store.engine)
    for _ in range(20):
        database.run(lambda connection: read_heads(connection, store.tasks, Status.PENDING))
    prepared = text("SELECT statement FROM pg_prepared_statements")  # SQLAlchemy's look for tables may be among them
    statements = database.run(lambda connection: connection.execute(prepared).scalars().all())
    assert [statement for statement in statements if store.tasks.name in statement] == []
    database.close()
    with store.engine.connect() as connection:  # the one that was given back is the application's again
        driver_connection: Any = connection.connection.driver_connection
        assert driver_connection.prepare_threshold == 5


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_connection_that_the_server_dropped_is_given_back_in_silence(store: Store, autocommit: bool) -> None:
    drops = {
        "mysql": ("SELECT connection_id()", "KILL {}"),
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
    }
    if store.engine.dialect.name not in drops:
        pytest.skip("SQLite has no server")
    ask, drop = drops[store.engine.dialect.name]
    engine, other = open_engine(store.engine.url), open_engine(store.engine.url)
    database = Database(engine, autocommit=autocommit)
    number = database.run(lambda connection: connection.execute(text(ask)).scalar())
    with other.connect() as connection:
        connection.execute(text(drop.format(number)))
    database.close()
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    engine.dispose()
    other.dispose()
