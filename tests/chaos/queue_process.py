"""One process of a queue under test: ``python -m … scheduler DATABASE BROKER``, ``… worker FILE BROKER``, to the end.

A worker writes what it did into the file: it has no database.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox, QueueWorker, Scheduler, TaskContext
from asyncflow.integrations.kafka import KafkaQueue
from asyncflow.integrations.redis import RedisQueue
from asyncflow.scheduler.task_queue import TaskQueue
from tests.support.options import RetryTimes

LEASE_SECONDS = 3.0
metadata = MetaData()
outbox = Outbox(metadata)
_SOON: RetryTimes = {"retry_interval_seconds": 0.1, "max_retry_interval_seconds": 0.1}


@outbox.task(queue="workers", concurrency=4, limit=20, max_retries=100, **_SOON)
def counted(number: int) -> None:
    """Have an effect, one line of the file."""
    time.sleep(random.uniform(0.0, 0.02))
    _note(f"{number}\n")


@outbox.task(queue="workers", max_retries=1, **_SOON)
def deadly(ctx: TaskContext) -> None:
    """End the process."""
    _note(f"deadly {ctx.attempt}\n")
    os._exit(17)


def queue_at(broker: str) -> TaskQueue:
    """Return the queue on a Redis, by its URL, or on a Kafka, by its address."""
    return RedisQueue(broker, credits=200) if broker.startswith("redis:") else KafkaQueue(broker, credits=200)


def scheduler(database_url: str, broker: str) -> AbstractContextManager[Any]:
    """Return a scheduler that has few tasks out, and misses the dead soon."""
    queue = queue_at(broker)
    quick = {"claim_lease_seconds": LEASE_SECONDS, "monitor_interval_seconds": 0.3, "tick": 0.2}
    engine = create_engine(database_url, pool_size=10)
    return Scheduler(engine, outbox, {}, queues={"workers": queue}, **quick)  # type: ignore[arg-type]


def worker(broker: str) -> AbstractContextManager[Any]:
    """Return a worker."""
    return QueueWorker(outbox, "workers", queue_at(broker), claim_lease_seconds=LEASE_SECONDS)


def _note(line: str) -> None:
    with open(sys.argv[2], "ab", buffering=0) as file:
        file.write(line.encode())


def main() -> int:
    """Run until SIGTERM; return 0."""
    asked_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_stop.append(number))
    role, where, broker = sys.argv[1:4]
    with scheduler(where, broker) if role == "scheduler" else worker(broker):
        while not asked_to_stop:
            time.sleep(0.2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
