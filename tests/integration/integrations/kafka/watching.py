"""What a publisher is asked in several files: whether it gave up in time, whether it recovered, what it left behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

from asyncflow.scheduler.publishing.publisher import SENT, Record, Unavailable
from tests.integration.integrations.kafka.adapters import AnyPublisher
from tests.support.lateness import Standstill

# What a publish may take beyond its timeout and the time for which this process stands: to take records back, on a
# busy machine.
SLACK_SECONDS = 10.0
RECOVERS_WITHIN_SECONDS = 60.0


def batch(topic: str, count: int = 100) -> list[Record]:
    return [Record(topic, b"k%d" % (number % 7), b"%d" % number, []) for number in range(count)]


def assert_unavailable_in_time(publisher: AnyPublisher, topic: str, timeout_seconds: float) -> None:
    began = monotonic()
    with Standstill() as stood:
        outcomes = publisher.publish(batch(topic))
    took_seconds = monotonic() - began - stood.seconds
    assert took_seconds < timeout_seconds + SLACK_SECONDS, f"took {took_seconds:.1f} seconds"
    assert len(outcomes) == 100, len(outcomes)
    assert {type(outcome) for outcome in outcomes} == {Unavailable}, set(outcomes)
    assert all(outcome.error and "\n" not in outcome.error for outcome in outcomes if isinstance(outcome, Unavailable))


def publish_until_sent(publisher: AnyPublisher, topic: str) -> None:
    deadline = monotonic() + RECOVERS_WITHIN_SECONDS
    while (outcomes := publisher.publish(batch(topic))) != [SENT] * 100:
        assert monotonic() < deadline, f"still not sent: {set(outcomes)}"


def client_threads() -> set[tuple[str, str]]:
    """Return the ids and names of the clients' threads; librdkafka's are unknown to Python."""
    python = {(str(thread.ident), thread.name) for thread in threading.enumerate() if "network-thread" in thread.name}
    native = {(task.name, _name(task)) for task in Path("/proc/self/task").iterdir()}
    return python | {(number, name) for number, name in native if name.startswith("rdk:")}


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def eventually(condition: Callable[[], bool], within_seconds: float = 60.0) -> bool:
    """Look at the condition until it holds, or time is up; return whether it holds."""
    deadline = monotonic() + within_seconds
    while not condition() and monotonic() < deadline:
        sleep(0.01)
    return condition()


def _name(task: Path) -> str:
    try:
        return (task / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
