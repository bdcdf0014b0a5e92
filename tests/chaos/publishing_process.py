"""One scheduler under test that publishes to a broker: ``python -m … BROKER DATABASE URL``, to SIGTERM."""

from __future__ import annotations

import signal
import sys
import time

from sqlalchemy import MetaData, create_engine

from asyncflow import Outbox, Scheduler
from tests.chaos.brokers import BROKERS, TOPIC

metadata = MetaData()
outbox = Outbox(metadata)
outbox.message("moved", topic=TOPIC, destination="broker", ordered=True, max_retries=100)


def main() -> int:
    """Run until SIGTERM; return 0."""
    asked_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_stop.append(number))
    name, database_url, url = sys.argv[1:4]
    publisher = BROKERS[name].make_publisher(url)
    engine = create_engine(database_url, pool_size=10)
    # One that is killed is missed soon.
    with Scheduler(engine, outbox, {"broker": publisher}, lease_seconds=3.0, heartbeat_seconds=0.4, tick=0.2):
        while not asked_to_stop:
            time.sleep(0.2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
