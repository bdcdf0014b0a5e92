"""Gauges from one look at the tables, kept for a while: many scrapers cost the database what one does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from asyncflow.integrations.prometheus.extras import metrics_core
from asyncflow.outbox import Outbox
from asyncflow.scheduler.diagnosis.diagnose import look_and_find
from asyncflow.scheduler.diagnosis.finding import Finding
from asyncflow.scheduler.diagnosis.sight import MOST_TYPES, Sight

_KEPT_SECONDS = 10.0


@dataclass(frozen=True)
class _Glimpse:
    """Hold what a look has seen, and what it cost; nothing but that if it failed."""

    seconds: float
    sight: Sight | None = None
    findings: Sequence[Finding] = ()


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
        kept_seconds: float = _KEPT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics_core()
        self._engine = engine
        self._outbox = outbox
        self._kept_seconds = kept_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._look: _Glimpse | None = None
        self._looked_at = 0.0

    def describe(self) -> Iterable[Any]:
        """Return nothing: to be registered costs no look."""
        return []

    def collect(self) -> Iterator[Any]:
        """Return the gauges, of a look that may be some seconds old."""
        look = self._latest()
        yield self._gauge("look_failed", "1 if the last look at the tables failed", [((), float(look.sight is None))])
        yield self._gauge("look_seconds", "How long the last look took", [((), look.seconds)])
        if look.sight is None:
            return
        sight, counts = look.sight, dict[tuple[str, str], float]()
        for finding in look.findings:
            place = (finding.code.value, finding.severity.value)
            counts[place] = counts.get(place, 0.0) + 1
        oldest = [((one.task_type,), one.seconds) for one in sight.waiting[:MOST_TYPES]]
        yield self._gauge("oldest_due_seconds", "How long the longest-due task waits", oldest, "task_type")
        yield self._gauge("findings", "What the doctor has to say", list(counts.items()), "code", "severity")
        yield self._gauge("instances", "Running schedulers", [((), float(len(sight.members)))])
        yield self._gauge("shards_unowned", "Shards that nobody reads", [((), float(len(sight.unowned)))])

    def _latest(self) -> _Glimpse:
        with self._lock:
            if self._look is None or self._clock() - self._looked_at >= self._kept_seconds:
                self._look = self._look_anew()
                self._looked_at = self._clock()
            return self._look

    def _look_anew(self) -> _Glimpse:
        began = self._clock()
        try:
            sight, findings = look_and_find(self._engine, self._outbox)
        except Exception:
            logging.getLogger("asyncflow").exception("The look for the gauges failed")
            return _Glimpse(self._clock() - began)
        return _Glimpse(self._clock() - began, sight, findings)

    def _gauge(self, name: str, text: str, samples: Sequence[tuple[tuple[str, ...], float]], *labels: str) -> Any:
        family = self._metrics.GaugeMetricFamily(f"asyncflow_{name}", text, labels=labels)
        for values, value in samples:
            family.add_metric(values, value)
        return family
