"""A process that enqueues a periodic task every second: ``python -m … URL``."""

from __future__ import annotations

import sys

from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox, Scheduler

metadata = MetaData()
outbox = Outbox(metadata)
outbox.task("report.send")  # worked nowhere: the tasks stay to be counted
outbox.periodic("report.send", "* * * * * *", misfire="all")

if __name__ == "__main__":
    engine = create_engine(sys.argv[1])
    with Scheduler(engine, outbox, {}, lease_seconds=0.9, heartbeat_seconds=0.2) as scheduler:
        scheduler.wait()
