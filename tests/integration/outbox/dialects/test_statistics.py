"""What the planner believes: corrected where it is far from what was read, and only there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from asyncflow.scheduler.heads.planner_statistics import PlannerStatistics
from tests.integration.outbox.dialects.filled import PENDING, SETTLED, analyze, fill
from tests.integration.outbox.dialects.store import Statements, Store
from tests.integration.outbox.dialects.test_plans import require_postgresql_lookup, statements_on_ids


def analyses(store: Store, statistics: PlannerStatistics, rows: int) -> int:
    """Return how often the table was analysed after ``rows`` rows had been read."""
    with Statements(store.engine) as sent, store.engine.begin() as connection:
        statistics.after_reading(connection, rows)
    return sum(statement.startswith("ANALYZE") for statement, _ in sent)


@pytest.fixture
def on_postgresql(made_store: Store) -> Iterator[Store]:
    """Give a store on PostgreSQL that nobody else analyses."""
    if made_store.engine.dialect.name != "postgresql":
        pytest.skip("the other planners count for themselves")
    alter = f"ALTER TABLE {made_store.tasks.fullname}"
    for change in ("SET (autovacuum_enabled = false)", "RESET (autovacuum_enabled)"):
        with made_store.engine.begin() as connection:
            connection.execute(text(f"{alter} {change}"))
        if change.startswith("SET"):
            yield made_store


def test_a_backlog_that_was_analysed_while_it_was_written_is_counted_anew(on_postgresql: Store) -> None:
    store, now = on_postgresql, [100.0]
    statistics = PlannerStatistics(store.tasks, lambda: now[0])
    fill(store, analyzes=False, meanwhile=lambda: analyze(store))
    try:
        assert analyses(store, statistics, 199) == 0
        assert analyses(store, statistics, 1000) == 1
        with store.engine.connect() as connection:
            counted = text("SELECT reltuples FROM pg_class WHERE relname = 'asyncflow_task'")
            assert connection.execute(counted).scalar() == pytest.approx(PENDING + SETTLED, rel=0.1)
        for statement in statements_on_ids(store):
            require_postgresql_lookup(store, statement)
        now[0] += 11
        assert analyses(store, statistics, 1000) == 0
    finally:
        store.empty()


def test_it_is_asked_for_every_ten_seconds_at_most(made_store: Store) -> None:
    now = [100.0]
    statistics = PlannerStatistics(made_store.tasks, lambda: now[0])
    with Statements(made_store.engine) as sent, made_store.engine.begin() as connection:
        for _ in range(20):
            statistics.after_reading(connection, 1000)
            now[0] += 0.9
    assert len(sent) == (2 if made_store.engine.dialect.name == "postgresql" else 0)
