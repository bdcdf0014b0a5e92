"""Contention, provoked for real: who loses against another transaction may run again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text, update
from sqlalchemy.exc import DBAPIError

from tests.integration.outbox.dialects.store import Store
from tests.support.databases import everywhere, kind_of

pytestmark = everywhere

IMPATIENCE = {
    "mysql": "SET SESSION innodb_lock_wait_timeout = 1",
    "postgresql": "SET lock_timeout = '100ms'",
    "sqlite": "PRAGMA busy_timeout = 50",
}


@contextmanager
def impatient(store: Store) -> Iterator[Connection]:
    """Give a connection that waits for a lock but a moment; it does not go back into the pool."""
    with store.engine.connect() as connection:
        try:
            connection.execute(text(IMPATIENCE[store.engine.dialect.name]))
            connection.commit()
            yield connection
        finally:
            connection.invalidate()


def touch(connection: Connection, store: Store, row: dict[str, Any]) -> None:
    tasks = store.tasks
    connection.execute(update(tasks).where(tasks.c.id == row["id"]).values(retry_count=tasks.c.retry_count + 1))


def test_waiting_for_a_lock_in_vain_is_contention(store: Store) -> None:
    row = store.put()
    with store.engine.connect() as holder, impatient(store) as waiter:
        touch(holder, store, row)
        with pytest.raises(DBAPIError) as lost:
            touch(waiter, store, row)
    assert store.dialect.is_contention(lost.value)


def test_a_deadlock_is_contention_and_one_of_both_wins(store: Store) -> None:
    rows = [store.put(), store.put()]
    first_row_locked = threading.Barrier(2, timeout=60)
    errors: list[DBAPIError] = []

    def cross(first: dict[str, Any], second: dict[str, Any]) -> None:
        with store.engine.connect() as connection:
            if store.engine.dialect.name == "sqlite":
                connection.execute(text(IMPATIENCE["sqlite"]))
            try:
                touch(connection, store, first)
                # SQLite locks the whole file: there the other one has lost already and broken the barrier.
                with suppress(threading.BrokenBarrierError):
                    first_row_locked.wait()
                touch(connection, store, second)
                connection.commit()
            except DBAPIError as error:
                first_row_locked.abort()
                errors.append(error)

    threads = [threading.Thread(target=cross, args=order) for order in (rows, rows[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [store.dialect.is_contention(error) for error in errors] == [True]
    assert sorted(row.retry_count for row in store.rows()) == [1, 1]


def test_a_snapshot_that_another_transaction_overtook_is_contention(store: Store) -> None:
    row = store.put()
    with impatient(store) as late:
        if store.engine.dialect.name == "postgresql":
            late = late.execution_options(isolation_level="REPEATABLE READ")
        kind = kind_of(store.engine)
        if kind == "mysql":
            pytest.skip("MySQL knows no refusal of an overtaken snapshot: the update is of the newer row")
        if kind == "mariadb":
            # Where the server refuses updates of an overtaken snapshot; the default since MariaDB 11.6.
            late.execute(text("SET SESSION innodb_snapshot_isolation = ON"))
            late.commit()
        if store.engine.dialect.name == "sqlite":
            late.exec_driver_sql("BEGIN")
        late.execute(store.tasks.select()).all()
        with store.engine.begin() as early:
            touch(early, store, row)
        with pytest.raises(DBAPIError) as lost:
            touch(late, store, row)
    assert store.dialect.is_contention(lost.value)


def test_a_duplicate_key_is_no_contention(store: Store) -> None:
    row = store.put()
    with store.engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(insert(store.tasks), {**row, "order_time": timedelta(0)})
    assert not store.dialect.is_contention(failed.value)


def test_a_missing_table_is_no_contention(store: Store) -> None:
    with store.engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text("SELECT 1 FROM no_such_table"))
    assert not store.dialect.is_contention(failed.value)
