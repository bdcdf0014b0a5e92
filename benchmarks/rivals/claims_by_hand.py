"""Claim and complete, as one would write it by hand for one table and one kind of task: the limit to approach.

Both statements name their rows by primary key; a claim is a token, and completing is guarded by it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pymysql

from benchmarks.ground import Ground

_SHARDS = 64
_ROWS = 1000  # a round
_IDLE_SECONDS = 0.02
_NOW = {"mysql": "UTC_TIMESTAMP(6)", "postgresql": "timezone('utc', clock_timestamp())"}


@contextmanager
def claims_by_hand(ground: Ground, task_type: str, part: int, parts: int) -> Iterator[None]:
    """Claim, do nothing and complete, on a thread, the tasks of every shard with ``shard % parts == part``."""
    ended = threading.Event()
    thread = threading.Thread(target=_work, args=(ground, task_type, part, parts, ended), daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join()


def _work(ground: Ground, task_type: str, part: int, parts: int, ended: threading.Event) -> None:
    shards = range(part, _SHARDS, parts)
    page = (
        f"(SELECT id, payload FROM {ground.table} WHERE status = 0 AND task_type = '{task_type}' AND shard = "
        "{shard} ORDER BY order_time LIMIT {limit})"
    )
    find = " UNION ALL ".join(page.format(shard=shard, limit=-(-_ROWS // len(shards))) for shard in shards)
    with _connect(ground) as connection, connection.cursor() as cursor:
        while not ended.is_set():
            if not _round(ground, connection, cursor, find):
                ended.wait(_IDLE_SECONDS)


def _round(ground: Ground, connection: Any, cursor: Any, find: str) -> int:
    cursor.execute(find)
    ids = [row[0] for row in cursor.fetchall()]
    if ids:
        is_mysql = ground.engine.dialect.name == "mysql"
        its = f"id IN ({','.join(['%s'] * len(ids))})" if is_mysql else "id = ANY(%s)"
        token: Any = uuid.uuid4().bytes if is_mysql else uuid.uuid4()
        values = [token, *ids] if is_mysql else [token, ids]
        now = f"modified_at = {_NOW[ground.engine.dialect.name]}"
        cursor.execute(
            f"UPDATE {ground.table} SET status = 1, claim_token = %s, {now} WHERE status = 0 AND {its}", values
        )
        connection.commit()
        _do_nothing(ids)
        done = f"UPDATE {ground.table} SET status = 2, {now} WHERE claim_token = %s AND status = 1 AND {its}"
        cursor.execute(done, values)
    connection.commit()
    return len(ids)


def _do_nothing(ids: Sequence[Any]) -> None:
    for _ in ids:
        pass


def _connect(ground: Ground) -> Any:
    url = ground.url
    if ground.engine.dialect.name == "postgresql":
        return psycopg.connect(
            host=url.host, port=url.port, user=url.username, password=url.password, dbname=url.database
        )
    connection = pymysql.connect(
        host=url.host or "",
        port=url.port or 0,
        user=url.username,
        password=url.password or "",
        database=url.database,
    )
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    return connection
