"""How long tasks had been due when they were fetched, as a histogram: a batch is put into it at once."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import add
from typing import Any

from asyncflow.forks import leave_at_fork
from asyncflow.integrations.prometheus.extras import metrics_core
from asyncflow.scheduler.heads.waits import Waits, WaitSpread

BOUNDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)  # seconds
_LABELS = (*map(str, BOUNDS), "+Inf")


class QueueTimes:
    """Be a collector of prometheus_client that counts whole batches; any thread may call.

    The client's own histogram takes one value at a time, under a lock for each: several times what the rest of an event
    costs.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._metrics = metrics_core()
        self._labels = labels
        self._kept: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}  # as many as are within each bound
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Have another lock in the child of a fork: a thread of the parent may hold this one."""
        self._lock = threading.Lock()

    def observe(self, place: tuple[str, ...], waits: Sequence[float]) -> None:
        """Take in how long each of some tasks had been due, under these values of the labels."""
        count, below, total = _spread(waits)
        if not count:
            return
        with self._lock:
            counts, sums = self._kept.setdefault(place, ([0] * len(_LABELS), [0.0]))
            counts[:] = map(add, counts, (*below, count))
            sums[0] += total

    def describe(self) -> Iterable[Any]:
        """Return the family without samples, by which names are told apart."""
        return [self._family()]

    def collect(self) -> Iterator[Any]:
        """Return the histogram."""
        family = self._family()
        with self._lock:
            for place, (counts, sums) in self._kept.items():
                family.add_metric(place, list(zip(_LABELS, counts, strict=True)), sums[0])
        yield family

    def _family(self) -> Any:
        text = "How long tasks had been due when they were fetched or claimed"
        return self._metrics.HistogramMetricFamily("asyncflow_queue_seconds", text, labels=self._labels)


def _spread(waits: Sequence[float]) -> WaitSpread:
    if isinstance(waits, Waits):
        return waits.spread(BOUNDS)
    in_order = sorted(waits)
    return WaitSpread(len(in_order), [bisect_right(in_order, bound) for bound in BOUNDS], sum(in_order))
