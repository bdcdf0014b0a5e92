"""One scheduler with five destinations on five brokers: whichever of them is killed, the others flow as before."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, MetaData, func, select

from asyncflow import Message, Outbox, Scheduler, Status
from asyncflow.events import Event, TasksSettled
from tests.chaos.brokers import BROKERS, TOPIC, started
from tests.chaos.findings import Tell
from tests.chaos.fixtures import on_mariadb
from tests.chaos.private_server import PrivateServer
from tests.unit.scheduler.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]

_A_SECOND, _KEYS = 100, 50  # messages to each destination
_WINDOW_SECONDS = 10.0
_GOAL = 0.95
_LATE_SECONDS = 300.0


class Flow:
    """Publish so much a second to each destination, and count what is acknowledged and settled."""

    def __init__(self, engine: Engine, outbox: Outbox, names: list[str]) -> None:
        self.published: Counter[str] = Counter()
        self.settled: Counter[str] = Counter()
        self._engine, self._outbox, self._names = engine, outbox, names
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)

    def __call__(self, event: Event) -> None:
        if isinstance(event, TasksSettled):
            self.settled[event.destination] += event.succeeded

    def __enter__(self) -> Flow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def window(self) -> dict[str, float]:
        """Return the part of what was published to each within some seconds that was settled within the same."""
        published, settled = self.published.copy(), self.settled.copy()
        time.sleep(_WINDOW_SECONDS)
        return {
            name: (self.settled[name] - settled[name]) / (self.published[name] - published[name])
            for name in self._names
        }

    def _publish(self) -> None:
        begin, number = time.monotonic(), 0
        while not self._ends.wait(max(0.0, begin + number / 10 - time.monotonic())):
            with self._engine.begin() as connection:
                for name in self._names:
                    keys = (f"k{(number + one) % _KEYS}" for one in range(_A_SECOND // 10))
                    self._outbox.publish_many(connection, f"to.{name}", [Message(b"x" * 300, key=key) for key in keys])
            self.published.update(dict.fromkeys(self._names, _A_SECOND // 10))
            number += 1


@pytest.fixture
def servers() -> Iterator[dict[str, PrivateServer]]:
    """Give the five, each killed with the test."""
    with ExitStack() as until:
        yield {name: until.enter_context(started(name)) for name in BROKERS}


@on_mariadb
def test_whichever_of_five_brokers_is_killed_the_others_flow_as_before(
    engine: Engine, servers: dict[str, PrivateServer], finding: Tell
) -> None:
    metadata = MetaData()
    outbox = Outbox(metadata)
    for name in servers:
        outbox.message(f"to.{name}", destination=name, topic=TOPIC)
    metadata.create_all(engine)
    flow = Flow(engine, outbox, list(servers))
    publishers = {name: BROKERS[name].make_publisher(server.url) for name, server in servers.items()}
    ratios: dict[str, float] = {}
    with Scheduler(engine, outbox, publishers, hooks=[flow]):
        with flow:
            eventually(lambda: all(flow.settled[name] > _A_SECOND for name in servers), _LATE_SECONDS)
            for name, server in servers.items():
                ratios[name] = beside_killed(flow, name, server, finding)
                eventually(lambda name=name: flow.settled[name] >= flow.published[name] - _A_SECOND, _LATE_SECONDS)  # type: ignore[misc]
        eventually(lambda: flow.settled == flow.published, _LATE_SECONDS)
    tasks = outbox.tasks.c
    with engine.connect() as connection:
        states = connection.execute(
            select(tasks.status, tasks.retry_count, func.count()).group_by(tasks.status, tasks.retry_count)
        )
        assert [(status, retries) for status, retries, _ in states] == [(int(Status.SUCCESS), 0)]
    assert min(ratios.values()) >= _GOAL, ratios


def beside_killed(flow: Flow, name: str, server: PrivateServer, finding: Tell) -> float:
    """Kill a server for a while; return the least part of its flow that another one had meanwhile."""
    before = flow.window()
    server.kill()
    time.sleep(1.0)  # what was on its way
    beside = flow.window()
    server.start()
    # One that still had something to catch up with had more than its part before.
    least = min(beside[other] / min(1.0, before[other]) for other in before if other != name)
    finding(
        json.dumps({"killed": name, "its own part": round(beside[name], 3), "least of the others": round(least, 3)})
    )
    return least
