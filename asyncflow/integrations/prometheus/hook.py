"""The hook that counts events for Prometheus. Labels are names of code: types, destinations, loops; never "
"keys or ids."""

from __future__ import annotations

from typing import Any

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
from asyncflow.integrations.prometheus.extras import prometheus_client
from asyncflow.integrations.prometheus.queue_times import QueueTimes

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_OUTCOMES = ("succeeded", "retried", "failed", "cancelled")


class PrometheusHook:
    """Count what a scheduler does, from its events: ``Scheduler(..., hooks=[PrometheusHook()])``.

    Of a ``registry`` of prometheus_client, by default the process's own; make one hook for each. Given to an outbox as
    well, it counts what is enqueued. Raises MissingExtraError.
    """

    def __init__(self, registry: Any = None) -> None:
        client = prometheus_client()
        self.registry = client.REGISTRY if registry is None else registry

        def counter(name: str, text: str, *labels: str) -> Any:
            return client.Counter(f"asyncflow_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str) -> Any:
            given = {"buckets": _SECONDS, "registry": self.registry}
            return client.Histogram(f"asyncflow_{name}_seconds", text, ("destination",), **given)

        def gauge(name: str, text: str, *labels: str) -> Any:
            return client.Gauge(f"asyncflow_{name}", text, labels, registry=self.registry)

        self._enqueued = counter("tasks_enqueued", "Tasks written; their transactions may roll back", "task_type")
        self._settled = counter("tasks_settled", "Tasks whose outcomes were written", "destination", "outcome")
        self._retried = counter("task_retries", "Attempts that failed, and are made again", "task_type")
        self._failed = counter("dead_letters", "Tasks that became dead letters", "task_type")
        self._ran_out = counter("claims_ran_out", "Claims whose worker died, hung or was cut off", "task_type")
        self._fenced = counter(
            "settles_fenced", "Outcomes that changed nothing, for others own the shards", "destination"
        )
        self._steps = counter("steps_failed", "Steps of background loops that raised", "loop")
        self._fetch = histogram("fetch", "Reading a round of pages")
        self._publish = histogram("publish", "A publisher's answer to a batch")
        self._settle = histogram("settle", "Writing the outcomes of a round")
        self._queue = QueueTimes()
        self.registry.register(self._queue)
        self._open = gauge(
            "breaker_open", "1 while a destination, or a topic there, is not used", "destination", "topic"
        )
        self._owned = gauge("shards_owned", "Shards, or items of a job, that this process owns", "job")

    def __call__(self, event: Event) -> None:
        """Count one event."""
        match event:
            case TaskEnqueued():
                self._enqueued.labels(event.task_type).inc()
            case TasksSettled():
                self._count_settled(event)
            case TaskRetried():
                self._retried.labels(event.task_type).inc()
            case TaskFailed():
                self._failed.labels(event.task_type).inc()
            case ClaimsRanOut():
                self._ran_out.labels(event.task_type).inc(event.given_back + event.failed)
            case SettleFenced():
                self._fenced.labels(event.destination).inc(event.tasks)
            case StepFailed():
                self._steps.labels(event.loop).inc()
            case PageFetched():
                self._fetch.labels(event.destination).observe(event.seconds)
            case TasksPublished():
                self._publish.labels(event.destination).observe(event.seconds)
            case BreakerChanged():
                self._open.labels(event.destination, event.topic or "").set(event.state != "closed")
            case OwnershipChanged():
                self._owned.labels(event.job).set(len(event.shards))
            case _:
                pass

    def _count_settled(self, event: TasksSettled) -> None:
        for outcome in _OUTCOMES:
            if count := getattr(event, outcome):
                self._settled.labels(event.destination, outcome).inc(count)
        self._settle.labels(event.destination).observe(event.seconds)
        if event.waits:
            self._queue.observe(event.destination, event.waits)
