"""A page of metrics for a server that is there already, such as the task service."""

from __future__ import annotations

from collections.abc import Mapping

from asyncflow.integrations.prometheus.extras import prometheus_client
from asyncflow.integrations.prometheus.gauges import OutboxCollector
from asyncflow.integrations.prometheus.hook import PrometheusHook
from asyncflow.outbox import Outbox
from asyncflow.scheduler.connections.sync_twin import AnyEngine


class MetricsPage:
    """Hold the metrics of one process in a registry of their own: what its ``hook`` hears of, and the outbox's gauges.

    With a dict of engines by the names of several databases each is apart, by the label ``database``.

    Any thread may render it, which may take a look at the tables. Raises MissingExtraError.
    """

    def __init__(self, engine: AnyEngine | Mapping[str, AnyEngine], outbox: Outbox) -> None:
        self._client = prometheus_client()
        self._registry = self._client.CollectorRegistry()
        self.hook = PrometheusHook(self._registry, by_database=isinstance(engine, Mapping))
        self._registry.register(OutboxCollector(engine, outbox))
        self._client.ProcessCollector(registry=self._registry)

    def render(self) -> tuple[bytes, str]:
        """Return the page and its content type."""
        return self._client.generate_latest(self._registry), self._client.CONTENT_TYPE_LATEST
