"""faststream-outbox on PostgreSQL and Kafka, as its documentation sets it up.

The relay of its README, with the options its performance page names for throughput: several workers, larger
fetches, and terminal deletes in batches.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from sqlalchemy import MetaData, func, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from benchmarks.ground import Ground, payload

AS_IN_ITS_README: dict[str, Any] = {}
FOR_THROUGHPUT: dict[str, Any] = {"max_workers": 16, "fetch_batch_size": 100, "terminal_flush_batch_size": 100}
_QUEUE = "orders_outbox"
_PATIENCE_SECONDS = 120.0


def peer_speed(ground: Ground, rows: int, size: int, options: dict[str, Any]) -> float:
    """Write ``rows`` messages, relay them; return messages a second from the start until the table is empty."""
    return asyncio.run(_measure(ground, rows, size, options))


async def _measure(ground: Ground, rows: int, size: int, options: dict[str, Any]) -> float:
    from faststream.kafka import KafkaBroker
    from faststream_outbox import OutboxBroker, make_outbox_table

    metadata = MetaData()
    table = make_outbox_table(metadata, table_name="outbox")
    engine = create_async_engine(ground.url.set(drivername="postgresql+asyncpg"), pool_size=40)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.drop_all)
        await connection.run_sync(metadata.create_all)
    outbox = OutboxBroker(engine, outbox_table=table, logger=None)
    kafka = KafkaBroker(ground.kafka, logger=None)

    @kafka.publisher(ground.topic)
    @outbox.subscriber(_QUEUE, **options)
    async def relay(body: dict[str, Any]) -> dict[str, Any]:
        return body

    async with AsyncSession(engine) as session, session.begin():
        for _ in range(rows):
            await outbox.publish(payload(size), queue=_QUEUE, session=session)
    await kafka.connect()
    began = perf_counter()
    await outbox.start()
    await _until_empty(engine, table)
    seconds = perf_counter() - began
    await outbox.stop()
    await kafka.stop()
    await engine.dispose()
    return rows / seconds


async def _until_empty(engine: Any, table: Any) -> None:
    deadline = perf_counter() + _PATIENCE_SECONDS
    async with engine.connect() as connection:
        while await connection.scalar(select(func.count()).select_from(table)):
            await connection.rollback()
            if perf_counter() > deadline:
                raise RuntimeError(f"faststream-outbox was not done after {_PATIENCE_SECONDS:.0f} s")
            await asyncio.sleep(0.02)
