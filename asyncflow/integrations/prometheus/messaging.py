"""The four metrics of OpenTelemetry's conventions for messaging, under the names that Prometheus gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncflow.conventions.measuring import BUCKETS, LABELS, METRICS, MeasuresMessaging, Metric
from asyncflow.integrations.prometheus.extras import prometheus_client, registering


class PrometheusMessaging(MeasuresMessaging):
    """Be a hook of an outbox: ``Outbox(metadata, hooks=[PrometheusMessaging()])``: four metrics.

    Of a ``registry`` of prometheus_client, by default the process's own; make one for each. Raises
    MissingExtraError or OptionError.
    """

    def __init__(self, registry: Any = None) -> None:
        client = prometheus_client()
        registry = client.REGISTRY if registry is None else registry
        labels = [_plain(name) for name in LABELS]

        def made(metric: Metric) -> Any:
            name = _plain(metric.name)
            if metric.is_duration:
                return client.Histogram(f"{name}_seconds", metric.text, labels, buckets=BUCKETS, registry=registry)
            return client.Counter(name, metric.text, labels, registry=registry)

        with registering("PrometheusMessaging"):
            self._metrics = {metric: made(metric) for metric in METRICS}

    def take(self, metric: Metric, amount: float, attributes: Mapping[str, str]) -> None:
        """Keep one measurement."""
        kept = self._metrics[metric].labels(*attributes.values())
        if metric.is_duration:
            kept.observe(amount)
        else:
            kept.inc(amount)


def _plain(name: str) -> str:
    return name.replace(".", "_")
