"""One worker of the task service under test: ``python -m … DATABASE_URL SERVER [MEGABYTES]``, until SIGTERM."""

from __future__ import annotations

import resource
import signal
import sys
import time

from sqlalchemy import create_engine

from asyncflow import Scheduler
from asyncflow.integrations.flowsvr.client import ServiceWorker
from tests.chaos.remote_work import outbox

LEASE_SECONDS = 2.0


def worker(database_url: str, server: str) -> ServiceWorker:
    """Return a worker whose death is noticed soon, and that stops as soon as its work in hand has ended."""
    return ServiceWorker(
        Scheduler(create_engine(database_url, pool_size=8), outbox, {}),
        server,
        claim_lease_seconds=LEASE_SECONDS,
        wait_seconds=1.0,
        min_backoff_seconds=0.05,
        max_backoff_seconds=0.3,
        stop_timeout_seconds=60.0,
    )


def main() -> int:
    """Work until SIGTERM; return 0 if all work in hand ended."""
    asked_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_stop.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    with worker(*sys.argv[1:3]) as running:
        if len(sys.argv) > 3:
            most = int(sys.argv[3]) * 1024 * 1024
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        while not asked_to_stop:
            time.sleep(0.2)
        return 0 if running.stop() else 3


if __name__ == "__main__":
    sys.exit(main())
