"""Gauges from one look at the tables, kept for a while: many scrapers cost the database what one does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import Engine

from asyncflow.integrations.prometheus.extras import metrics_core
from asyncflow.outbox import Outbox
from asyncflow.scheduler.diagnosis.kept_look import GAUGES, KEPT_SECONDS, KeptLook


class OutboxCollector:
    """Be a collector of prometheus_client: ``registry.register(OutboxCollector(engine, outbox))``.

    Tells of the whole outbox, the same in every process: where several do, a query takes the maximum. A look that fails
    is told as such, and in the log. Raises MissingExtraError.
    """

    def __init__(
        self,
        engine: Engine,
        outbox: Outbox,
        *,
        kept_seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics_core()
        self._look = KeptLook(engine, outbox, kept_seconds, clock)

    def describe(self) -> Iterable[Any]:
        """Return nothing: to be registered costs no look."""
        return []

    def collect(self) -> Iterator[Any]:
        """Return the gauges, of a look that may be some seconds old."""
        for name, samples in self._look.latest().samples().items():
            gauge = GAUGES[name]
            family = self._metrics.GaugeMetricFamily(f"asyncflow_{name}", gauge.text, labels=gauge.labels)
            for values, value in samples.items():
                family.add_metric(values, value)
            yield family
