"""The database as an event loop reaches it: nothing that may wait for the network is done on the loop."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from asyncflow.integrations.flowsvr import databases
from asyncflow.scheduler.connections.database import Database


async def test_a_connection_that_was_idle_for_long_is_closed_on_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed_on: list[threading.Thread] = []
    monkeypatch.setattr(databases, "_LONGEST_IDLE_SECONDS", -1.0)
    monkeypatch.setattr(Database, "close", lambda _: closed_on.append(threading.current_thread()))
    pool = databases.Databases(create_engine(f"sqlite:///{tmp_path}/any.db"), threads=1, busy_timeout_seconds=60)
    for _ in range(2):
        await pool.run(lambda connection: connection.exec_driver_sql("SELECT 1"))
    assert closed_on
    assert threading.main_thread() not in closed_on
