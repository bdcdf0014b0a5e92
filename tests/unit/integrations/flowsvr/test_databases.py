"""The database as an event loop reaches it: nothing that may wait for the network is done on the loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine

from asyncflow.integrations.flowsvr import databases
from asyncflow.scheduler.connections.database import Database


async def test_a_connection_that_was_idle_for_long_is_closed_on_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed_on: list[threading.Thread] = []
    monkeypatch.setattr(databases, "_LONGEST_IDLE_SECONDS", -1.0)
    monkeypatch.setattr(Database, "close", lambda _: closed_on.append(threading.current_thread()))
    pool = databases.RequestDatabases(create_engine(f"sqlite:///{tmp_path}/any.db"), threads=1, busy_timeout_seconds=60)
    for _ in range(2):
        await pool.run(lambda connection: connection.exec_driver_sql("SELECT 1"))
    assert closed_on
    assert threading.main_thread() not in closed_on


async def test_a_connection_is_no_other_requests_while_the_thread_of_a_cancelled_one_works_with_it(
    tmp_path: Path,
) -> None:
    pool = databases.RequestDatabases(create_engine(f"sqlite:///{tmp_path}/any.db"), threads=2, busy_timeout_seconds=60)
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()
    used: list[object] = []

    def work(connection: Connection) -> None:
        used.append(connection.connection.dbapi_connection)
        if len(used) == 1:
            begun.set()
            assert may_end.wait(60)
            connection.exec_driver_sql("SELECT 1")
            ended.set()

    asked = asyncio.ensure_future(pool.run(work))
    assert await asyncio.to_thread(begun.wait, 60)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await pool.run(work)
    assert used[0] is not used[1]
    may_end.set()
    assert await asyncio.to_thread(ended.wait, 60)
    pool.close()
