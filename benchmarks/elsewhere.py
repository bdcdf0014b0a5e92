"""The processes of the benchmark of workers elsewhere: who has the database, and who does the work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlsplit

import uvicorn

from asyncflow import QueueWorker, Scheduler
from asyncflow.integrations.flowsvr import ServiceSettings, Tokens, make_app
from asyncflow.integrations.flowsvr.client import ServiceWorker
from asyncflow.integrations.redis import RedisQueue
from asyncflow.testing import MemoryPublisher
from benchmarks.ground import Ground

QUEUE = "workers"


def scheduler_of_queue(ground: Ground, place: str) -> AbstractContextManager[object]:
    """Return a scheduler that hands tasks over; nothing else is due."""
    return Scheduler(ground.engine, ground.outbox, {"kafka": MemoryPublisher()}, queues={QUEUE: _queue_at(place)})


def worker_of_queue(ground: Ground, place: str) -> AbstractContextManager[object]:
    """Return a worker of the queue."""
    return QueueWorker(ground.outbox, QUEUE, _queue_at(place))


@contextmanager
def service(ground: Ground, place: str) -> Iterator[None]:
    """Serve the tasks over HTTP."""
    parts = urlsplit(place)
    app = make_app(ground.engine, ground.outbox, Tokens.none(), ServiceSettings())
    config = uvicorn.Config(app, host=str(parts.hostname), port=parts.port or 0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def worker_of_service(ground: Ground, place: str) -> AbstractContextManager[object]:
    """Return a worker of the service."""
    return ServiceWorker(ground.outbox, place)


def _queue_at(place: str) -> RedisQueue:
    url, namespace = place.split()
    return RedisQueue(url, namespace=namespace)
