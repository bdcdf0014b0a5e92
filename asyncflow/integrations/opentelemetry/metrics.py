"""Metrics for OpenTelemetry: what Prometheus is told as well, under the same names; and the four of its conventions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from asyncflow.conventions import counting, measuring
from asyncflow.conventions.counting import CountedMetric, MetricForm, measurements_of
from asyncflow.conventions.measuring import MeasuresMessaging, Metric
from asyncflow.events import Event, TasksSettled
from asyncflow.integrations.opentelemetry.extras import opentelemetry
from asyncflow.outbox import Outbox
from asyncflow.scheduler.connections.sync_twin import AnyEngine
from asyncflow.scheduler.diagnosis.kept_look import GAUGES, KEPT_SECONDS, KeptLook, latest_of

_SCOPE = "asyncflow"
_SECONDS = "_seconds"
_QUEUE_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


class OpenTelemetryHook:
    """Count what a scheduler does, from its events: ``Scheduler(..., hooks=[OpenTelemetryHook()])``.

    Of a ``meter_provider``, by default the process's own. Given to an outbox as well, it counts what is enqueued.
    Its names are those of PrometheusHook, as an exporter turns them: ``asyncflow.tasks_settled``. Raises
    MissingExtraError.
    """

    def __init__(self, meter_provider: Any = None) -> None:
        self._api = opentelemetry("metrics")
        self._meter = self._api.get_meter(_SCOPE, meter_provider=meter_provider)
        self._take = {name: self._made(f"asyncflow.{name}", one) for name, one in counting.METRICS.items()}
        text = "How long tasks had been due when they were fetched"
        self._queue = _histogram(self._meter, "asyncflow.queue", text, _QUEUE_SECONDS)

    def __call__(self, event: Event) -> None:
        """Count one event."""
        further = _of_database(event.database_name)
        for name, value, labels in measurements_of(event):
            self._take[name](value, dict(zip(counting.METRICS[name].labels, labels, strict=True)) | further)
        if isinstance(event, TasksSettled):
            attributes = {"destination": event.destination, **further}  # one for all: there may be a thousand
            for seconds in event.waits:
                self._queue(seconds, attributes)

    def observe(
        self, engine: AnyEngine | Mapping[str, AnyEngine], outbox: Outbox, *, kept_seconds: float = KEPT_SECONDS
    ) -> None:
        """Tell gauges of the whole outbox as well, from one look that is kept for a while.

        With a dict of engines by the names of several databases each has the attribute ``database``.
        """
        engines = engine if isinstance(engine, Mapping) else {"": engine}
        looks = {name: KeptLook(one, outbox, kept_seconds) for name, one in engines.items()}
        for name, gauge in GAUGES.items():
            self._meter.create_observable_gauge(
                f"asyncflow.{name.removesuffix(_SECONDS)}",
                [self._observing(looks, name)],
                unit="s" if name.endswith(_SECONDS) else "",
                description=gauge.text,
            )

    def _observing(self, looks: Mapping[str, KeptLook], name: str) -> Callable[[Any], Iterable[Any]]:
        def observe(_: Any) -> Iterator[Any]:
            for database, glimpse in latest_of(looks).items():
                for values, value in glimpse.samples().get(name, {}).items():
                    attributes = dict(zip(GAUGES[name].labels, values, strict=True))
                    yield self._api.Observation(value, attributes | _of_database(database))

        return observe

    def _made(self, name: str, counted: CountedMetric) -> Callable[[float, Mapping[str, str]], None]:
        if counted.form is MetricForm.COUNTER:
            return self._meter.create_counter(name, "", counted.text).add  # type: ignore[no-any-return]
        if counted.form is MetricForm.GAUGE:
            return self._meter.create_gauge(name, "", counted.text).set  # type: ignore[no-any-return]
        return _histogram(self._meter, name, counted.text, counting.SECONDS)


class OpenTelemetryMessaging(MeasuresMessaging):
    """Be a hook of an outbox: ``Outbox(metadata, hooks=[OpenTelemetryMessaging()])``: four metrics.

    Of a ``meter_provider``, by default the process's own. Raises MissingExtraError.
    """

    def __init__(self, meter_provider: Any = None) -> None:
        meter = opentelemetry("metrics").get_meter(_SCOPE, meter_provider=meter_provider)

        def made(metric: Metric) -> Callable[[float, Mapping[str, str]], None]:
            if metric.is_duration:
                return _histogram(meter, metric.name, metric.text, measuring.BUCKETS)
            return meter.create_counter(metric.name, metric.unit, metric.text).add  # type: ignore[no-any-return]

        self._take = {metric: made(metric) for metric in measuring.METRICS}

    def take(self, metric: Metric, amount: float, attributes: Mapping[str, str]) -> None:
        """Keep one measurement."""
        self._take[metric](amount, {name: value for name, value in attributes.items() if value})


def _of_database(name: str) -> dict[str, str]:
    """Return the attribute that tells one of several databases; a single one has no name, and none."""
    return {counting.DATABASE: name} if name else {}


def _histogram(meter: Any, name: str, text: str, buckets: Iterable[float]) -> Callable[..., None]:
    try:
        made = meter.create_histogram(name, "s", text, explicit_bucket_boundaries_advisory=list(buckets))
    except TypeError:  # an API before 1.30 knows no buckets; the application's views may tell them
        made = meter.create_histogram(name, "s", text)
    return made.record  # type: ignore[no-any-return]
