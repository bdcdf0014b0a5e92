"""The loops that one would write by hand for one table and one topic: the limit to approach.

They do the least that moves the rows: no retries, no outcomes, no fencing, no second task type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg
import pymysql

from benchmarks.ground import TASK_TYPE, Ground
from benchmarks.rivals.bare_clients import confluent_kafka

Row = Sequence[Any]  # id, key, payload
Send = Callable[[Sequence[Row]], None]

_SHARDS = 64
_ROWS_A_SHARD = 31  # about 2,000 a round, as the relay takes
_PAGE = (
    "(SELECT id, task_key, payload FROM {table} WHERE status = 0 AND task_type = '{task_type}' AND shard = {shard} "
    "ORDER BY order_time LIMIT {limit})"
)


def drain_by_hand(ground: Ground, send: Send, *, delete: bool = False) -> int:
    """Relay everything that is pending by the plain driver and ``send``; return how many rows moved."""
    is_postgresql = ground.engine.dialect.name == "postgresql"
    drain = _drain_postgresql if is_postgresql else _drain_mariadb
    fetch = " UNION ALL ".join(
        _PAGE.format(table=ground.table, task_type=TASK_TYPE, shard=shard, limit=_ROWS_A_SHARD)
        for shard in range(_SHARDS)
    )
    settle = f"DELETE FROM {ground.table}" if delete else f"UPDATE {ground.table} SET status = 2"
    return drain(ground, send, fetch, settle)


def _drain_mariadb(ground: Ground, send: Send, fetch: str, settle: str) -> int:
    url = ground.url
    connection = pymysql.connect(
        host=url.host or "",
        port=url.port or 0,
        user=url.username,
        password=url.password or "",
        database=url.database,
    )
    moved = 0
    with connection, connection.cursor() as cursor:
        while rows := _fetch(connection, cursor, fetch):
            send(rows)
            marks = ",".join(["%s"] * len(rows))
            cursor.execute(f"{settle} WHERE id IN ({marks})", [row[0] for row in rows])
            connection.commit()
            moved += len(rows)
    return moved


def _drain_postgresql(ground: Ground, send: Send, fetch: str, settle: str) -> int:
    url = ground.url
    address: dict[str, Any] = {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
    moved = 0
    with psycopg.connect(dbname=url.database, **address) as connection, connection.cursor() as cursor:
        while rows := _fetch(connection, cursor, fetch):
            send([(task_id.bytes, key, payload) for task_id, key, payload in rows])
            cursor.execute(f"{settle} WHERE id = ANY(%s)", ([row[0] for row in rows],))
            connection.commit()
            moved += len(rows)
    return moved


def _fetch(connection: Any, cursor: Any, statement: str) -> Sequence[Row]:
    cursor.execute(statement)
    rows: Sequence[Row] = cursor.fetchall()
    connection.commit()
    return rows


def confluent_sender(ground: Ground) -> Send:
    """Return a sender on confluent-kafka: acknowledged by all replicas, idempotent."""
    return confluent_kafka(ground.kafka, ground.topic)


def kafka_python_sender(ground: Ground) -> Send:
    """Return a sender on kafka-python: acknowledged by all replicas, idempotent."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=ground.kafka, acks="all", enable_idempotence=True)

    def send(rows: Sequence[Row]) -> None:
        futures = [
            producer.send(ground.topic, payload, key=key.encode(), headers=[("message-id", task_id)])
            for task_id, key, payload in rows
        ]
        producer.flush()
        for future in futures:
            future.get(timeout=0)

    return send
