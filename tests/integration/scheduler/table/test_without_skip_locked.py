"""Servers that cannot step over locked rows: what somebody has locked for long waits alone there as well."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
from sqlalchemy import event, select

from asyncflow import Call, Message, Scheduler, Status
from asyncflow.events import OwnershipChanged, RowsLocked
from asyncflow.outbox.dialects.mysql import MySQL
from asyncflow.scheduler.connections.database import Database
from asyncflow.scheduler.table.row_locks import sort_out
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.publishers import ids_of
from tests.integration.scheduler.relay.test_locked_rows import _by_type, locked, settled, shards_lost
from tests.integration.scheduler.writing import publish_many, texts
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

pytestmark = pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
OPTIONS = {"lease_seconds": 9.0, "heartbeat_seconds": 0.5, "tick": 0.2}


@pytest.fixture(autouse=True)
def statements(application: Application, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the server know no SKIP LOCKED; give what is sent to it."""
    monkeypatch.setattr(MySQL, "skips_locked", lambda *_: False)
    sent: list[str] = []
    event.listen(application.engine, "before_cursor_execute", lambda _c, _u, sql, *_: sent.append(sql))
    return sent


def test_locked_rows_wait_and_nothing_else_does(application: Application, statements: list[str]) -> None:
    application.outbox.message("coupon", destination="cluster_b")
    application.outbox.task("nothing", concurrency=4)(lambda: None)
    ids = publish_many(application, 200)
    with application.engine.begin() as connection:
        application.outbox.publish_many(connection, "coupon", [Message({})] * 200)
        application.outbox.enqueue_many(connection, "nothing", [Call({})] * 200)
    tasks = application.outbox.tasks
    some = [rows[len(rows) // 3].id for rows in _by_type(application).values()]
    publishers = {"kafka": MemoryPublisher(), "cluster_b": MemoryPublisher()}
    its = (application.engine, application.outbox, publishers)
    with ExitStack() as locks:
        # Before anybody could settle them.
        locks.enter_context(locked(application.engine, select(tasks.c.id).where(tasks.c.id.in_(some))))
        with Scheduler(*its, hooks=[application.signals], **OPTIONS):  # type: ignore[arg-type]
            eventually(lambda: settled(application, 600 - len(some)))
            more = publish_many(application, 200)
            eventually(lambda: settled(application, 800 - len(some)))
            assert shards_lost(application) == []
            locks.close()
            eventually(lambda: settled(application, 800))
    assert len(some) == 3
    assert application.signals.of(RowsLocked)
    assert sorted(ids_of(publishers["kafka"])) == sorted(texts(ids + more))
    assert not any("SKIP LOCKED" in sql for sql in statements)


def test_a_locked_shard_row_costs_no_other_shard(application: Application) -> None:
    shards = application.outbox.shards
    its = (application.engine, application.outbox, {"kafka": MemoryPublisher()})
    with Scheduler(*its, hooks=[application.signals], **OPTIONS) as scheduler:  # type: ignore[arg-type]
        eventually(lambda: len(scheduler.ownership.epochs()) == application.outbox.shard_count)
        with locked(application.engine, select(shards.c.shard).where(shards.c.job == "outbox", shards.c.shard == 0)):
            publish_many(application, 100)
            here = sum(row.shard == 0 for row in application.rows())
            eventually(lambda: settled(application, 100 - here))
            seen = scheduler.cluster.clock()
            eventually(lambda: scheduler.cluster.clock() > seen + OPTIONS["lease_seconds"])
        eventually(lambda: settled(application, 100))
    assert {shard for one in application.signals.of(OwnershipChanged) for shard in one.lost} <= {0}


def test_a_locked_row_is_met_once_and_then_left_out(application: Application, statements: list[str]) -> None:
    publish_many(application, 64)
    tasks = application.outbox.tasks
    ids = [row[0] for row in application.rows(select(tasks.c.id).order_by(tasks.c.id))]
    raw = [one.bytes for one in ids]
    database = Database(application.engine)

    def sort() -> tuple[set[bytes], set[bytes]]:
        found = database.run(lambda connection: sort_out(connection, tasks, raw, Status.PENDING))
        return found.free, found.locked

    with locked(application.engine, select(tasks.c.id).where(tasks.c.id == ids[5])):
        eventually(lambda: sort()[1] == {raw[5]})
        del statements[:]
        began = time.monotonic()
        assert sort() == (set(raw) - {raw[5]}, {raw[5]})
        if time.monotonic() - began < 1:  # else it was tried again, and waited for
            assert sum("FOR UPDATE" in sql for sql in statements) == len(raw) - 1
    eventually(lambda: sort() == (set(raw), set()))
    database.close()
