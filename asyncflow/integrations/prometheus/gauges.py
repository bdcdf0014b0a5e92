"""Gauges from one look at the tables, kept for a while: many scrapers cost the database what one does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from asyncflow.conventions.counting import DATABASE
from asyncflow.integrations.prometheus.extras import metrics_core
from asyncflow.outbox import Outbox
from asyncflow.scheduler.connections.sync_twin import AnyEngine
from asyncflow.scheduler.diagnosis.kept_look import GAUGES, KEPT_SECONDS, KeptLook, latest_of


class OutboxCollector:
    """Be a collector of prometheus_client: ``registry.register(OutboxCollector(engine, outbox))``.

    With a dict of engines by the names of several databases each gauge has the label ``database``.
    Tells of the whole outbox, the same in every process: where several do, a query takes the maximum. A look that fails
    is told as such, and in the log. Raises MissingExtraError.
    """

    def __init__(
        self,
        engine: AnyEngine | Mapping[str, AnyEngine],
        outbox: Outbox,
        *,
        kept_seconds: float = KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics_core()
        engines = engine if isinstance(engine, Mapping) else {"": engine}
        self._labels = (DATABASE,) if isinstance(engine, Mapping) else ()
        self._looks = {name: KeptLook(one, outbox, kept_seconds, clock) for name, one in engines.items()}

    def describe(self) -> Iterable[Any]:
        """Return nothing: to be registered costs no look."""
        return []

    def collect(self) -> Iterator[Any]:
        """Return the gauges, of a look that may be some seconds old."""
        seen = {name: glimpse.samples() for name, glimpse in latest_of(self._looks).items()}
        for name, gauge in GAUGES.items():
            of_it = {database: samples[name] for database, samples in seen.items() if name in samples}
            if not of_it:
                continue
            labels = (*gauge.labels, *self._labels)
            family = self._metrics.GaugeMetricFamily(f"asyncflow_{name}", gauge.text, labels=labels)
            for database, samples in of_it.items():
                for values, value in samples.items():
                    family.add_metric((*values, *((database,) if self._labels else ())), value)
            yield family
