"""A process whose worker handles tasks, one kind of which ends the process: ``python -m … URL``."""

from __future__ import annotations

import os
import sys
from typing import Any

from sqlalchemy import BigInteger, Column, Engine, Integer, MetaData, Table, create_engine, insert
from sqlalchemy.orm import Session

from asyncflow import Outbox, Scheduler

metadata = MetaData()
outbox = Outbox(metadata)
effects = Table(
    "effects",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("number", Integer, nullable=False),  # not unique: a second effect must be seen
)


@outbox.task(transactional=True, retry_interval_seconds=0.1, max_retry_interval_seconds=0.1)
def harmless(session: Session, number: int) -> None:
    """Have one effect."""
    session.execute(insert(effects).values(number=number))


@outbox.task(max_retries=2, retry_interval_seconds=0.1, max_retry_interval_seconds=0.1)
def deadly() -> None:
    """End the process."""
    os._exit(17)


def scheduler_on(engine: Engine) -> Scheduler:
    """Return a scheduler that notices a death soon."""
    leases: dict[str, Any] = {"lease_seconds": 2.0, "heartbeat_seconds": 0.4, "claim_lease_seconds": 2.0}
    return Scheduler(engine, outbox, {}, monitor_interval_seconds=0.2, **leases)


if __name__ == "__main__":
    with scheduler_on(create_engine(sys.argv[1])) as scheduler:
        scheduler.wait()
