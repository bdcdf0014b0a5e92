"""The hook that counts events for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncflow.conventions.counting import DATABASE, METRICS, SECONDS, CountedMetric, MetricForm, measurements_of
from asyncflow.events import Event, TasksSettled
from asyncflow.integrations.prometheus.extras import prometheus_client, registering
from asyncflow.integrations.prometheus.queue_times import QueueTimes

Take = Callable[[float], None]


class PrometheusHook:
    """Count what a scheduler does, from its events: ``Scheduler(..., hooks=[PrometheusHook()])``.

    Of a ``registry`` of prometheus_client, by default the process's own; make one hook for each. Given to an outbox as
    well, it counts what is enqueued. ``by_database``: of a scheduler of several databases, each by itself, under the
    label ``database``. Raises MissingExtraError or OptionError.
    """

    def __init__(self, registry: Any = None, *, by_database: bool = False) -> None:
        client = prometheus_client()
        self.registry = its = client.REGISTRY if registry is None else registry
        self._by_database = by_database
        further = (DATABASE,) if by_database else ()

        def made(name: str, counted: CountedMetric) -> Any:
            labels = (*counted.labels, *further)
            if counted.form is MetricForm.COUNTER:
                return client.Counter(f"asyncflow_{name}", counted.text, labels, registry=its)
            if counted.form is MetricForm.GAUGE:
                return client.Gauge(f"asyncflow_{name}", counted.text, labels, registry=its)
            given = {"buckets": SECONDS, "registry": its}
            return client.Histogram(f"asyncflow_{name}_seconds", counted.text, labels, **given)

        with registering("PrometheusHook"):
            self._metrics = {name: made(name, counted) for name, counted in METRICS.items()}
        self._takes: dict[tuple[str, tuple[str, ...]], Take] = {}  # by name and values of labels, once these were met
        self._queue = QueueTimes(("destination", *further))
        its.register(self._queue)

    def __call__(self, event: Event) -> None:
        """Count one event."""
        further = (event.database_name,) if self._by_database else ()
        for name, value, labels in measurements_of(event):
            values = (*labels, *further)
            (self._takes.get((name, values)) or self._take_of(name, values))(value)
        if isinstance(event, TasksSettled):
            self._queue.observe((event.destination, *further), event.waits)

    def _take_of(self, name: str, values: tuple[str, ...]) -> Take:
        """Return what takes in values under these labels; to find it costs as much as all the rest of an event."""
        kept = self._metrics[name].labels(*values)
        takes: dict[MetricForm, str] = {
            MetricForm.COUNTER: "inc",
            MetricForm.SECONDS: "observe",
            MetricForm.GAUGE: "set",
        }
        take: Take = getattr(kept, takes[METRICS[name].form])
        self._takes[name, values] = take
        return take
