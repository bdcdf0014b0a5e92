"""An application with a topic on each of two clusters, and the time that one of them takes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Engine, MetaData, func, select

from asyncflow import Message, Outbox, Scheduler, Status
from asyncflow.events import BreakerChanged, Event, Hook, TasksSettled
from asyncflow.scheduler import Publisher

CLUSTER_A, CLUSTER_B = "cluster_a", "cluster_b"
_RELAY_SECONDS = 120.0
_BULK = 1000


class TwoClusters:
    """Have an outbox in tables of its own, with one task type for each cluster, named as the cluster is."""

    def __init__(self, engine: Engine, prefix: str, topics: dict[str, str]) -> None:
        metadata = MetaData()
        self.engine = engine
        self.outbox = Outbox(metadata, prefix=prefix)
        for cluster, topic in topics.items():
            self.outbox.message(cluster, destination=cluster, topic=topic)
        self.outages: Counter[str] = Counter()  # how often each cluster was found unreachable
        metadata.create_all(engine)

    def publish(self, cluster: str, count: int) -> list[str]:
        """Commit that many messages to a cluster; return their ids."""
        ids: list[str] = []
        for begin in range(0, count, _BULK):
            messages = [
                Message({"number": number}, key=f"k{number}") for number in range(begin, min(begin + _BULK, count))
            ]
            with self.engine.begin() as connection:
                ids += map(str, self.outbox.publish_many(connection, cluster, messages))
        return ids

    def relay(self, cluster: str, count: int, publishers: dict[str, Publisher]) -> Flow:
        """Run a scheduler until it has settled that many messages of the cluster; return how they flowed."""
        settled = Countdown(cluster, count)
        hooks: list[Hook] = [settled, self._note_outage]
        with running(Scheduler(self.engine, self.outbox, publishers, hooks=hooks)):
            began = time.perf_counter()
            assert settled.is_over.wait(_RELAY_SECONDS), f"{cluster}: {settled.left} of {count} are unsettled"
            return Flow(time.perf_counter() - began, settled.rate())

    def states(self, cluster: str) -> dict[tuple[int, int], int]:
        """Return how many messages of a cluster have which status and retry count."""
        tasks = self.outbox.tasks
        counts = (
            select(tasks.c.status, tasks.c.retry_count, func.count())
            .where(tasks.c.task_type == cluster)
            .group_by(tasks.c.status, tasks.c.retry_count)
        )
        with self.engine.connect() as connection:
            return {(Status(status), retries): count for status, retries, count in connection.execute(counts)}

    def _note_outage(self, event: Event) -> None:
        if isinstance(event, BreakerChanged) and event.state == "open":
            self.outages[event.destination] += 1


class Flow(NamedTuple):
    """Tell how long messages took, all in all, and how many came in a second once the first batch had."""

    seconds: float
    rate: float


class Countdown:
    """Be a hook that counts down the settled messages of one destination."""

    def __init__(self, destination: str, count: int) -> None:
        self.left = count
        self.is_over = threading.Event()
        self._destination = destination
        self._batches: list[tuple[float, int]] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, TasksSettled) and event.destination == self._destination:
            self._batches.append((time.perf_counter(), event.succeeded))
            self.left -= event.succeeded
            if self.left <= 0:
                self.is_over.set()

    def rate(self) -> float:
        """Return the messages settled in a second after the first batch.

        How long a client takes to connect is another matter, and differs from one time to the next.
        """
        (first_at, first), (last_at, _) = self._batches[0], self._batches[-1]
        return (sum(count for _, count in self._batches) - first) / (last_at - first_at)


@contextmanager
def running(scheduler: Scheduler) -> Iterator[Scheduler]:
    """Start a scheduler, and stop it whatever happens; it must stop in good order."""
    try:
        scheduler.start()
        yield scheduler
    finally:
        stopped = scheduler.stop()
    assert stopped
