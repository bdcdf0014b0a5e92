"""What is counted of events, by name; who keeps the counts is told elsewhere.

Labels are names of code: types, destinations, loops; never keys or ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from asyncflow.events import (
    BreakerChanged,
    ClaimsRanOut,
    Event,
    OwnershipChanged,
    PageFetched,
    SettleFenced,
    StepFailed,
    TaskEnqueued,
    TaskFailed,
    TaskRetried,
    TasksPublished,
    TasksSettled,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # of histograms
DATABASE = "database"  # the label of one among several
_OUTCOMES = ("succeeded", "retried", "failed", "cancelled")


class MetricForm(Enum):
    """Tell what becomes of the values of a metric."""

    COUNTER = "counter"  # they are added up
    SECONDS = "seconds"  # they are put into a histogram
    GAUGE = "gauge"  # the last one holds


@dataclass(frozen=True)
class CountedMetric:
    """Describe one metric."""

    form: MetricForm
    text: str
    labels: tuple[str, ...]


METRICS: Mapping[str, CountedMetric] = {
    "tasks_enqueued": CountedMetric(
        MetricForm.COUNTER, "Tasks written; their transactions may roll back", ("task_type",)
    ),
    "tasks_settled": CountedMetric(MetricForm.COUNTER, "Tasks whose outcomes were written", ("destination", "outcome")),
    "task_retries": CountedMetric(MetricForm.COUNTER, "Attempts that failed, and are made again", ("task_type",)),
    "dead_letters": CountedMetric(MetricForm.COUNTER, "Tasks that became dead letters", ("task_type",)),
    "claims_ran_out": CountedMetric(
        MetricForm.COUNTER, "Claims whose worker died, hung or was cut off", ("task_type",)
    ),
    "settles_fenced": CountedMetric(
        MetricForm.COUNTER, "Outcomes that changed nothing, for others own the shards", ("destination",)
    ),
    "steps_failed": CountedMetric(MetricForm.COUNTER, "Steps of background loops that raised", ("loop",)),
    "fetch": CountedMetric(MetricForm.SECONDS, "Reading a round of pages", ("destination",)),
    "publish": CountedMetric(MetricForm.SECONDS, "A publisher's answer to a batch", ("destination",)),
    "settle": CountedMetric(MetricForm.SECONDS, "Writing the outcomes of a round", ("destination",)),
    "breaker_open": CountedMetric(
        MetricForm.GAUGE, "1 while a destination, or a topic there, is not used", ("destination", "topic")
    ),
    "shards_owned": CountedMetric(MetricForm.GAUGE, "Shards, or items of a job, that this process owns", ("job",)),
}


class Measurement(NamedTuple):
    """Hold one value of a metric, and those of its labels."""

    name: str
    value: float
    labels: tuple[str, ...]


def measurements_of(event: Event) -> Iterator[Measurement]:
    """Return what one event adds to the metrics."""
    match event:
        case TaskEnqueued():
            yield Measurement("tasks_enqueued", 1, (event.task_type,))
        case TasksSettled():
            for outcome in _OUTCOMES:
                if count := getattr(event, outcome):
                    yield Measurement("tasks_settled", count, (event.destination, outcome))
            yield Measurement("settle", event.seconds, (event.destination,))
        case TaskRetried():
            yield Measurement("task_retries", 1, (event.task_type,))
        case TaskFailed():
            yield Measurement("dead_letters", 1, (event.task_type,))
        case ClaimsRanOut():
            yield Measurement("claims_ran_out", event.given_back + event.failed, (event.task_type,))
        case SettleFenced():
            yield Measurement("settles_fenced", event.tasks, (event.destination,))
        case StepFailed():
            yield Measurement("steps_failed", 1, (event.loop,))
        case PageFetched():
            yield Measurement("fetch", event.seconds, (event.destination,))
        case TasksPublished():
            yield Measurement("publish", event.seconds, (event.destination,))
        case BreakerChanged():
            is_open = float(event.state != "closed")
            yield Measurement("breaker_open", is_open, (event.destination, event.topic or ""))
        case OwnershipChanged():
            yield Measurement("shards_owned", len(event.shards), (event.job,))
        case _:
            pass
