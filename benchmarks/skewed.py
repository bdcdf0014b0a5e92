"""A table on a bad night: one type has nearly all rows, many are due, many are dead, much was done by hand.

The database fills it by itself: a seed is written once and copied again and again.
"""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import UUID

import orjson
from sqlalchemy import insert, select

from asyncflow import Status
from asyncflow.outbox.ids import new_id
from asyncflow.scheduler.charts.hour import ALL_TYPES
from benchmarks.ground import TASK_TYPE, Ground
from benchmarks.large import require_room

MINOR = tuple(f"order.minor.{number}" for number in range(10))  # of these are five rows of a hundred
PARKED = MINOR[0]
_SEED = 20_000
_SPAN_MS = 3 * 86_400_000  # in which the tasks were enqueued
_PAYLOAD_BYTES = 100
_KEYS, _ENTRIES, _HOURS = 1_000, 10_000, 72
# Of a hundred neighbours: 60 are done, 35 wait, 3 were cancelled, 2 are dead.
_STATUS = (
    f"CASE WHEN place % 100 < 60 THEN {int(Status.SUCCESS)} WHEN place % 100 < 95 THEN {int(Status.PENDING)} "
    f"WHEN place % 100 < 98 THEN {int(Status.CANCELLED)} ELSE {int(Status.FAILED)} END"
)
_ERROR = "2026-11-29T02:41:07Z Kind%Error: no account {0} at the bank, tried again [bank.py:71 in pay]\n"


def fill(ground: Ground, rows: int) -> int:
    """Add about ``rows`` tasks, and what operators leave behind; return how many. Raises NotReadyError."""
    require_room(rows)
    for name in MINOR:
        ground.outbox.message(name, topic=ground.topic, ordered=name == PARKED)
    size = min(_SEED, rows)
    ground.add(size, _PAYLOAD_BYTES)
    numbered = f"SELECT t.*, ROW_NUMBER() OVER (ORDER BY id) - 1 AS place FROM {ground.table} AS t"
    ground.run("DROP TABLE IF EXISTS seed", f"CREATE TABLE seed AS {numbered}", f"DELETE FROM {ground.table}")
    copies, now_ms = -(-rows // size), time.time_ns() // 1_000_000
    for number in range(copies):
        ground.run(_copy(ground, number, copies, size, now_ms))
    ground.run("DROP TABLE seed")
    _leave_traces(ground)
    ground.refresh_statistics(vacuum=True)
    return copies * size


def _copy(ground: Ground, number: int, copies: int, size: int, now_ms: int) -> str:
    """Return what copies the seed into a stretch of time of its own, so that ids rise from copy to copy."""
    is_mysql = ground.engine.dialect.name == "mysql"
    divide = "DIV" if is_mysql else "/"
    stretch = _SPAN_MS // copies
    ago = f"({_SPAN_MS - number * stretch} - place * {stretch} {divide} {size})"  # milliseconds
    begin = f"LPAD(HEX({now_ms} - {ago}), 12, '0')" if is_mysql else f"LPAD(TO_HEX({now_ms} - {ago}), 12, '0')"
    kind = f"place {divide} 100 % 7"
    log = "'" + _ERROR.replace("%", f"', {kind}, '").format("', place, '") + "'"
    columns = {column.name: column.name for column in ground.outbox.tasks.columns}
    moment = f"INTERVAL {ago} * 1000 MICROSECOND" if is_mysql else f"{ago} * INTERVAL '1 millisecond'"
    columns |= dict.fromkeys(("created_at", "modified_at", "order_time", "next_select_time"), f"created_at - {moment}")
    columns |= {
        "id": f"CONCAT(UNHEX({begin}), SUBSTR(id, 7))"
        if is_mysql
        else f"OVERLAY(REPLACE(id::text, '-', '') PLACING {begin} FROM 1 FOR 12)::uuid",
        "task_type": f"CASE WHEN place {divide} 100 % 20 = 0 "
        f"THEN CONCAT('order.minor.', place {divide} 2000) ELSE '{TASK_TYPE}' END",
        "status": _STATUS,
        "retry_count": "CASE WHEN place % 100 >= 98 THEN 5 ELSE 0 END",
        "schedule_log": f"CASE WHEN place % 100 >= 98 THEN REPEAT(CONCAT({log}), 5) END",
    }
    names, values = ", ".join(columns), ", ".join(columns.values())
    return f"INSERT INTO {ground.table} ({names}) SELECT {values} FROM seed ORDER BY place"


def letter_of(ground: Ground, status: Status) -> UUID:
    """Return the id of some task of the large type in a status."""
    t = ground.outbox.tasks.c
    wanted = select(t.id).where(t.status == int(status), t.task_type == TASK_TYPE).limit(1)
    with ground.filling.connect() as connection:
        found: UUID = connection.execute(wanted).scalar_one()
        return found


def _leave_traces(ground: Ground) -> None:
    """Write parked keys, entries of the audit, and three days of charts."""
    outbox, dead = ground.outbox, letter_of(ground, Status.FAILED)
    keys = [
        {"task_type": PARKED, "task_key": f"key-{number}", "shard": number % outbox.shard_count, "blocked_by": dead}
        for number in range(_KEYS)
    ]
    entry = {"actor": "maria", "action": "replay", "task_id": dead, "task_type": TASK_TYPE, "reason": "a try"}
    entries = [{**entry, "id": new_id(), "at": timedelta(seconds=-number)} for number in range(_ENTRIES)]
    hour, counts = int(time.time()) // 3600, orjson.dumps({"sent": [60] * 60, "failed": [1] * 60}).decode()
    charted = [
        {"hour": hour - back, "task_type": name, "writer": new_id(), "total": 3660, "counts": counts}
        for back in range(_HOURS)
        for name in (ALL_TYPES, TASK_TYPE, *MINOR)
    ]
    with ground.filling.begin() as connection:
        connection.execute(insert(outbox.parked_keys), [{**one, "since": timedelta(seconds=-300)} for one in keys])
        connection.execute(insert(outbox.audit_entries), entries)
        connection.execute(insert(outbox.charts), charted)
