"""How the databases run heads and fetch: by the one index, reading hardly more rows than they return."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text

from asyncflow.outbox.dialects.raw_ids import raw_id
from asyncflow.scheduler.relay.queries import settle_succeeded
from asyncflow.scheduler.worker.claiming import queries as claim_queries
from tests.integration.outbox.dialects.filled import LANES, LIMIT, PENDING, TYPES, Plans, Statement, analyze, fill
from tests.integration.outbox.dialects.store import Statements, Store

PARAMETER = re.compile(r"%\((\w+)\)s")
INDEX = "ix_asyncflow_task_head"
STATEMENTS = ("heads", "page", "pages")


@pytest.fixture(scope="module")
def plans(made_store: Store) -> Iterator[Plans]:
    """Give the statements over a filled table."""
    fill(made_store)
    yield Plans(made_store)
    made_store.empty()


@pytest.fixture
def database(plans: Plans) -> str:
    return plans.store.engine.dialect.name


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_one_index_serves_and_nothing_is_sorted(plans: Plans, name: str, database: str) -> None:
    READERS[database](plans, name)


def test_the_rows_read_are_about_the_rows_returned(plans: Plans, database: str) -> None:
    costs = COSTS[database](plans)
    assert costs["heads"] <= 4 * LANES
    assert costs["page"] <= LIMIT + 2
    assert costs["pages"] <= 64 * (LIMIT + 2)


# -- MariaDB and MySQL -----------------------------------------------------------------------------------


def read_mysql_plan(plans: Plans, name: str) -> None:
    lines = plans.run(getattr(plans, name), "EXPLAIN ")
    tables = [line for line in lines if line.table == "asyncflow_task"]
    assert {line.key for line in tables} == {INDEX}
    assert {line.type for line in tables} <= {"range", "ref"}
    extras = " ".join(line.Extra or "" for line in lines)
    assert "filesort" not in extras
    assert "temporary" not in extras
    assert ("Using index for group-by" in extras) is (name == "heads")


def count_mysql_reads(plans: Plans) -> dict[str, float]:
    return {name: handler_reads(plans.store.engine, getattr(plans, name)) for name in STATEMENTS}


def handler_reads(engine: Engine, statement: Statement) -> int:
    """Return how many index entries and rows the storage engine was asked for."""
    with engine.connect() as connection:
        connection.execute(text("FLUSH STATUS"))
        connection.exec_driver_sql(*statement).all()
        counters = connection.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
        return sum(int(counter.Value) for counter in counters)


# -- PostgreSQL ------------------------------------------------------------------------------------------


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes_of(child)


def require_postgresql_plan(explained: Any) -> None:
    (((plan,),),) = explained
    nodes = list(nodes_of(plan["Plan"]))
    reading = [node for node in nodes if node.get("Relation Name") == "asyncflow_task"]
    assert {node["Node Type"] for node in reading} <= {"Index Scan", "Index Only Scan"}
    assert {node["Index Name"] for node in reading} <= {INDEX, "asyncflow_task_pkey"}
    assert INDEX in {node["Index Name"] for node in reading}
    assert not [node for node in nodes if "Sort" in node["Node Type"]]


def read_postgresql_plan(plans: Plans, name: str) -> None:
    statement = getattr(plans, name)
    require_postgresql_plan(plans.run(statement, "EXPLAIN (FORMAT JSON) "))
    require_postgresql_plan(explain_prepared(plans, *statement))


def explain_prepared(plans: Plans, statement: str, parameters: dict[str, Any]) -> Any:
    """Explain without the values: psycopg prepares what it sends often, and the plan may be kept then."""
    values = ", ".join(f"'{parameters[name]}'" for name in PARAMETER.findall(statement))
    numbers = itertools.count(1)
    numbered = PARAMETER.sub(lambda _: f"${next(numbers)}", statement)
    with plans.store.engine.connect() as connection:
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        connection.exec_driver_sql(f"PREPARE prepared AS {numbered}")
        explained = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) EXECUTE prepared ({values})").all()
        connection.exec_driver_sql("DEALLOCATE prepared")
    return explained


def count_postgresql_reads(plans: Plans) -> dict[str, float]:
    return {name: postgresql_reads(plans, getattr(plans, name)) for name in STATEMENTS}


def postgresql_reads(plans: Plans, statement: Statement) -> float:
    """Return how many rows all scans of the table returned or threw away."""
    (((plan,),),) = plans.run(statement, "EXPLAIN (ANALYZE, FORMAT JSON) ")
    rows: float = sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes_of(plan["Plan"])
        if node.get("Relation Name") == "asyncflow_task"
    )
    return rows


# -- SQLite ----------------------------------------------------------------------------------------------

SQLITE_STEPS_A_ROW = 30  # of its virtual machine; a walk over all rows of a type would take thousands


def read_sqlite_plan(plans: Plans, name: str) -> None:
    details = [line.detail for line in plans.run(getattr(plans, name), "EXPLAIN QUERY PLAN ")]
    assert not [detail for detail in details if "TEMP B-TREE" in detail]
    reading = [detail for detail in details if "asyncflow_task" in detail]
    by_id = [one for one in reading if "USING INDEX sqlite_autoindex_asyncflow_task_1 (id=?)" in one]
    by_index = [
        detail
        for detail in reading
        if f"INDEX {INDEX} (status=?" in detail and detail.startswith("SEARCH asyncflow_task USING")
    ]
    assert sorted(by_id + by_index) == sorted(reading)
    wanted = "AND shard>?" if name == "heads" else "AND task_type=? AND shard=? AND order_time<?"
    assert any(wanted in detail for detail in by_index)


def test_no_version_of_sqlite_can_turn_the_joins_of_the_heads_around(plans: Plans, database: str) -> None:
    if database == "sqlite":
        statement, _ = plans.heads
        assert statement.count(" LEFT OUTER JOIN ") == statement.count(" JOIN ") == 2


def count_sqlite_reads(plans: Plans) -> dict[str, float]:
    return {name: sqlite_steps(plans, getattr(plans, name)) / SQLITE_STEPS_A_ROW for name in STATEMENTS}


def sqlite_steps(plans: Plans, statement: Statement) -> int:
    """Return how many instructions of SQLite's virtual machine the statement takes, to the nearest ten."""
    tens: list[int] = []
    with plans.store.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: tens.append(1), 10)
        try:
            connection.exec_driver_sql(*statement).all()
        finally:
            driver.set_progress_handler(None, 0)
    return 10 * len(tens)


READERS = {"mysql": read_mysql_plan, "postgresql": read_postgresql_plan, "sqlite": read_sqlite_plan}
COSTS = {"mysql": count_mysql_reads, "postgresql": count_postgresql_reads, "sqlite": count_sqlite_reads}


# -- rows that are named by their ids --------------------------------------------------------------------


def test_statistics_from_before_a_backlog_lead_no_statement_on_ids_through_the_backlog(made_store: Store) -> None:
    """The planner believes that hardly any row is pending, and would walk over them all to find the thousand."""
    analyze(made_store)
    fill(made_store, analyzes=False)
    try:
        sent = statements_on_ids(made_store)
        assert len(sent) == 4
        for statement in sent:
            LOOKUPS[made_store.engine.dialect.name](made_store, statement)
    finally:
        made_store.empty()


def test_a_table_that_the_planner_believes_empty_is_not_read_again_and_again(made_store: Store) -> None:
    """A vacuum or an analysis that found no row, as one does while a backlog is being written, makes it believe so."""
    if made_store.engine.dialect.name != "postgresql":
        pytest.skip("the other planners count for themselves")
    fill(made_store, analyzes=False, meanwhile=lambda: analyze(made_store))
    try:
        plans = Plans(made_store)
        # At worst the rest of a type for each of its shards, never the whole table.
        assert postgresql_reads(plans, plans.heads) <= LANES * PENDING / len(TYPES)
    finally:
        made_store.empty()


NAMED = 1000


def statements_on_ids(store: Store) -> list[Statement]:
    """Return what is sent to claim, renew and settle a thousand tasks, and to settle a thousand messages."""
    with store.engine.connect() as connection:
        ids = [row[0] for row in connection.execute(select(raw_id(store.tasks.c.id)).limit(NAMED))]
    held = {"ids": ids, "token": UUID(int=1)}
    lease = {"lease": timedelta(seconds=60)}
    with Statements(store.engine) as sent, store.engine.connect() as connection:
        connection.execute(claim_queries.claim(store.tasks), {**held, **lease, "its_owner": "worker"})
        connection.execute(claim_queries.renew(store.tasks), {**held, **lease})
        connection.execute(claim_queries.succeed(store.tasks), held)
        settle_succeeded(connection, store.tasks, ids)
        connection.rollback()
    return list(sent)


def require_postgresql_lookup(store: Store, statement: Statement) -> None:
    with store.engine.connect() as connection:
        (((plan,),),) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement[0]}", statement[1]).all()
    nodes = list(nodes_of(plan["Plan"]))
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}, plan
    assert {node["Index Name"] for node in nodes if "Index Name" in node} == {"asyncflow_task_pkey"}, plan


def require_mysql_lookup(store: Store, statement: Statement) -> None:
    """Its planner counts in the index itself, so it may go by the index if fewer rows have the status."""
    with store.engine.connect() as connection:
        lines = connection.exec_driver_sql(f"EXPLAIN {statement[0]}", statement[1]).all()
    assert not [line for line in lines if line.key != "PRIMARY" and int(line.rows) > NAMED], lines


def require_sqlite_lookup(store: Store, statement: Statement) -> None:
    with store.engine.connect() as connection:
        lines = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement[0]}", statement[1]).all()
    assert not [line.detail for line in lines if INDEX in line.detail], lines


LOOKUPS = {"mysql": require_mysql_lookup, "postgresql": require_postgresql_lookup, "sqlite": require_sqlite_lookup}
