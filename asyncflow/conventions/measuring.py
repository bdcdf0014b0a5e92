"""The four metrics of the conventions, measured around deliveries and attempts; who keeps them is told elsewhere."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from asyncflow.conventions.names import (
    DESTINATION,
    ERROR_TYPE,
    OPERATION,
    SYSTEM,
    error_type_of,
    failure_type_of,
    first_failure,
    named,
    origin_of,
    sending,
)
from asyncflow.outbox import CancelTask, NotDone
from asyncflow.scheduler import TaskContext
from asyncflow.scheduler.publishing.delivering import Delivering

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # seconds
LABELS = (OPERATION, SYSTEM, DESTINATION, ERROR_TYPE)  # an attribute that there is not is an empty text


@dataclass(frozen=True)
class Metric:
    """Name a metric; one of seconds is a histogram with BUCKETS, any other a counter."""

    name: str
    unit: str
    text: str

    @property
    def is_duration(self) -> bool:
        """Tell whether it is a histogram."""
        return self.unit == "s"


OPERATION_SECONDS = Metric("messaging.client.operation.duration", "s", "A publisher's answer to a batch")
PROCESS_SECONDS = Metric("messaging.process.duration", "s", "An attempt of a handler or a subscriber")
SENT_MESSAGES = Metric("messaging.client.sent.messages", "{message}", "Messages that a publisher was given")
CONSUMED_MESSAGES = Metric("messaging.client.consumed.messages", "{message}", "Messages that a handler was given")
METRICS = (OPERATION_SECONDS, PROCESS_SECONDS, SENT_MESSAGES, CONSUMED_MESSAGES)


class MeasuresMessaging(ABC):
    """Be the hook of an outbox that measures; ``take`` is called on the thread where it happened."""

    @abstractmethod
    def take(self, metric: Metric, amount: float, attributes: Mapping[str, str]) -> None:
        """Keep one measurement; the attributes are LABELS."""

    @contextmanager
    def around_delivery(self, delivering: Delivering) -> Iterator[None]:
        """Measure a batch, and count its messages by topic and outcome."""
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        failure = first_failure(delivering.outcomes)
        self.take(OPERATION_SECONDS, seconds, _labels(sending(delivering), failure[0] if failure else ""))
        topics = (record.topic for record in delivering.records)
        counts = Counter(zip(topics, map(failure_type_of, delivering.outcomes), strict=True))
        for (topic, kind), count in counts.items():
            self.take(SENT_MESSAGES, count, _labels({**sending(delivering), DESTINATION: topic}, kind))

    @contextmanager
    def around_attempt(self, ctx: TaskContext) -> Iterator[None]:
        """Count a message that is worked on, and measure how long."""
        attributes, kind = named("process", origin_of(ctx.task_type, ctx.headers)), ""
        self.take(CONSUMED_MESSAGES, 1, _labels(attributes))
        began = time.perf_counter()
        try:
            yield
        except (NotDone, CancelTask):  # said on purpose, and no fault
            raise
        except BaseException as error:
            kind = error_type_of(error)
            raise
        finally:
            self.take(PROCESS_SECONDS, time.perf_counter() - began, _labels(attributes, kind))


def _labels(attributes: Mapping[str, Any], error_type: str = "") -> dict[str, str]:
    given = {**attributes, ERROR_TYPE: error_type}
    return {name: str(given.get(name, "")) for name in LABELS}
