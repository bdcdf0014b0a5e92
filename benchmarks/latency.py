"""From the commit to the broker's acknowledgement, at 50 messages a second; milliseconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import quantiles

from asyncflow import Scheduler
from asyncflow.integrations.kafka import ConfluentKafkaPublisher
from asyncflow.scheduler import Outcome, Publisher, Record, Sent
from benchmarks.figure import Figure
from benchmarks.ground import TASK_TYPE, Ground, mariadb_ground

_PER_SECOND = 50
_WARM_UP = 100  # messages not measured: connections, topic metadata, compiled statements


class _Timed:
    """Note when each message was acknowledged."""

    def __init__(self, publisher: Publisher) -> None:
        self.acknowledged: dict[str, float] = {}
        self._publisher = publisher

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        outcomes = self._publisher.publish(batch)
        now = time.perf_counter()
        for record, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Sent):
                self.acknowledged[record.headers[0][1].decode()] = now
        return outcomes

    def close(self) -> None:
        self._publisher.close()


def latency(seconds: float) -> list[Figure]:
    """Measure with the wake-up on and off, and the bare client, a third of ``seconds`` each."""
    with mariadb_ground() as ground:
        ground.fill(0, 300)
        messages = max(50, int(seconds / 3 * _PER_SECOND))
        bare = _bare(ground, messages)
        off = _through_outbox(ground, messages, wake_on_commit=False)
        on = _through_outbox(ground, messages, wake_on_commit=True)
    return [
        _figure("latency p99, wake-up on", on[98], "bare produce p99", bare[98], messages, ""),
        _figure("latency p50, wake-up off", off[49], "bare produce p50", bare[49], messages, ""),
        _figure("latency p99, wake-up off", off[98], "bare produce p99", bare[98], messages, ""),
        _figure("latency p50, wake-up on", on[49], "wake-up off p50", off[49], messages, ""),
    ]


def _figure(name: str, value: float, beside: str, beside_value: float, rounds: int, goal: str) -> Figure:
    return Figure(
        name=name,
        value=value,
        unit="ms",
        beside=beside,
        beside_value=beside_value,
        ratio=beside_value / value,
        rounds=rounds,
        goal=goal,
        details={"messages_per_second": _PER_SECOND},
    )


def _through_outbox(ground: Ground, messages: int, *, wake_on_commit: bool) -> list[float]:
    publisher = _Timed(ConfluentKafkaPublisher(ground.kafka))
    scheduler = Scheduler(ground.engine, ground.outbox, {"kafka": publisher}, wake_on_commit=wake_on_commit)
    committed: dict[str, float] = {}
    with scheduler:
        for due in _beats(_WARM_UP + messages):
            _sleep_until(due)
            with ground.engine.begin() as connection:
                task_id = ground.outbox.publish(connection, TASK_TYPE, {"pad": "x" * 290}, key="account-1")
            committed[str(task_id)] = time.perf_counter()
        _await_all(publisher, _WARM_UP + messages)
    # An acknowledgement can come before the committing thread has read its clock: that is 0.
    waits = [max(0.0, publisher.acknowledged[name] - moment) * 1000 for name, moment in committed.items()]
    return quantiles(waits[_WARM_UP:], n=100, method="inclusive")


def _bare(ground: Ground, messages: int) -> list[float]:
    publisher = ConfluentKafkaPublisher(ground.kafka)
    waits = []
    for due in _beats(_WARM_UP + messages):
        _sleep_until(due)
        began = time.perf_counter()
        publisher.publish([Record(ground.topic, b"account-1", b"x" * 300, ())])
        waits.append((time.perf_counter() - began) * 1000)
    publisher.close()
    return quantiles(waits[_WARM_UP:], n=100, method="inclusive")


def _beats(messages: int) -> list[float]:
    start = time.perf_counter()
    return [start + number / _PER_SECOND for number in range(messages)]


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.perf_counter()))


def _await_all(publisher: _Timed, messages: int) -> None:
    deadline = time.perf_counter() + 30
    while len(publisher.acknowledged) < messages:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{len(publisher.acknowledged)} of {messages} messages were acknowledged in 30 s")
        time.sleep(0.01)
