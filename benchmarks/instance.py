"""One process of a benchmark: an instance of asyncflow, or the same work by hand, until SIGTERM.

``python -m benchmarks.instance KIND``, with a Job as JSON on stdin. It prints "ready" once it has started.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy import make_url

from asyncflow import RollOver, Scheduler
from asyncflow.commands.processes.garbage import let_garbage_rest
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from benchmarks import elsewhere
from benchmarks.browsers import standing_open
from benchmarks.ground import Ground
from benchmarks.rivals.claims_by_hand import claims_by_hand

_LOOK_SECONDS = 0.1
HANDLER = "benchmark.nothing"
Elsewhere = Callable[[Ground, str], AbstractContextManager[object]]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Tell a process where and how to work."""

    url: str
    kafka: str
    topic: str
    share: tuple[int, int] = (0, 1)  # by hand: which part of the shards, of how many
    limit: int = 1000
    place: str = ""  # of what leads to workers elsewhere
    options: dict[str, Any] = field(default_factory=dict)  # of the scheduler
    rolls: int = 0  # rows of a table to which finished tasks roll over; 0: they do not

    def ground(self) -> Ground:
        """Return the ground that the parent made."""
        return Ground(make_url(self.url), self.kafka, self.topic, **rolling_at_once(self.rolls))


def rolling_at_once(rows: int) -> dict[str, Any]:
    """Return the options of an outbox whose finished tasks roll over at once, and are dropped by so many."""
    return {"roll_over": RollOver(rows=rows, after=timedelta(0), keep=timedelta(0))} if rows else {}


def nothing() -> None:
    """Be a handler that does nothing."""


def declare_handler(ground: Ground, limit: int, queue: str | None = None) -> None:
    """Declare the handler that does nothing; as short as it is, few threads do what is claimed by the hundred."""
    ground.outbox.task(HANDLER, concurrency=4, limit=limit, queue=queue)(nothing)


def _scheduler(job: Job, *, handles: bool) -> Scheduler:
    ground = job.ground()
    if handles:
        declare_handler(ground, job.limit)
    publishers = {"kafka": ConfluentKafkaPublisher(job.kafka)}
    return Scheduler(ground.engine, ground.outbox, publishers, hooks=ground.hooks(), **job.options)


def _by_hand(job: Job) -> AbstractContextManager[object]:
    return claims_by_hand(job.ground(), HANDLER, *job.share)


def _dashboard(job: Job) -> AbstractContextManager[object]:
    return standing_open(job.ground())


def _elsewhere(job: Job, make: Elsewhere, queue: str | None = None) -> AbstractContextManager[object]:
    ground = job.ground()
    declare_handler(ground, job.limit, queue)
    return make(ground, job.place)


KINDS: dict[str, Callable[[Job], AbstractContextManager[object]]] = {
    "relay": lambda job: _scheduler(job, handles=False),
    "tasks": lambda job: _scheduler(job, handles=True),
    "tasks by hand": _by_hand,
    "dashboard": _dashboard,
    "queue": lambda job: _elsewhere(job, elsewhere.scheduler_of_queue, elsewhere.QUEUE),
    "worker of a queue": lambda job: _elsewhere(job, elsewhere.worker_of_queue, elsewhere.QUEUE),
    "service": lambda job: _elsewhere(job, elsewhere.service),
    "worker of a service": lambda job: _elsewhere(job, elsewhere.worker_of_service),
}


def main() -> None:
    """Work until SIGTERM."""
    asked_to_stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked_to_stop.append(number))
    with KINDS[sys.argv[1]](Job(**orjson.loads(sys.stdin.readline()))):
        let_garbage_rest()  # as `asyncflow run` does; the work by hand has it alike
        print("ready", flush=True)
        # In short steps: the handler of a signal that comes in the moment before a sleep runs only behind it.
        while not asked_to_stop:
            time.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    main()
