"""The doctor's look, kept for a while: many who ask cost the database what one does."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from asyncflow.forks import leave_at_fork
from asyncflow.outbox import Outbox
from asyncflow.scheduler.connections.sync_twin import AnyEngine, blocking
from asyncflow.scheduler.diagnosis.diagnose import look_and_find
from asyncflow.scheduler.diagnosis.finding import Finding
from asyncflow.scheduler.diagnosis.sight import MOST_TYPES, Sight
from asyncflow.text import hide_parameters

KEPT_SECONDS = 10.0
_PATIENCE_SECONDS = 8.0  # of a page of metrics, which Prometheus gives up after ten
Samples = Mapping[tuple[str, ...], float]  # values of a gauge, by those of its labels


@dataclass(frozen=True)
class Glimpse:
    """Hold what a look has seen, and what it cost; nothing but that if it failed."""

    seconds: float
    sight: Sight | None = None
    findings: Sequence[Finding] = ()

    def samples(self) -> dict[str, Samples]:
        """Return the samples of each gauge of GAUGES; of a look that failed only that it did, and what it cost."""
        alone: dict[str, Samples] = {
            "look_failed": {(): float(self.sight is None)},
            "look_seconds": {(): self.seconds},
        }
        if self.sight is None:
            return alone
        its = self.sight
        return {
            **alone,
            "oldest_due_seconds": {(one.task_type,): one.seconds for one in its.waiting[:MOST_TYPES]},
            "due_in_seconds": {(name,): seconds for name, seconds in islice(its.later.items(), MOST_TYPES)},
            "parked_keys": _counted((one.task_type,) for one in its.parked),
            "findings": _counted((one.code.value, one.severity.value) for one in self.findings),
            "instances": {(): float(len(its.members))},
            "shards_unowned": {(): float(len(its.unowned))},
            "cleaning_behind_seconds": {(): max((one.cleaning_behind_seconds for _, one in its.states), default=0.0)},
        }


def _counted(labels: Iterable[tuple[str, ...]]) -> Samples:
    return {one: float(count) for one, count in Counter(labels).items()}


@dataclass(frozen=True)
class Gauge:
    """Describe a gauge of the whole outbox, the same in every process."""

    text: str
    labels: tuple[str, ...] = ()


GAUGES: Mapping[str, Gauge] = {
    "look_failed": Gauge("1 if the last look at the tables failed"),
    "look_seconds": Gauge("How long the last look took"),
    "oldest_due_seconds": Gauge("How long the longest-due task waits", ("task_type",)),
    "due_in_seconds": Gauge("In how long the first task is due, of types of which none is", ("task_type",)),
    "parked_keys": Gauge("Keys of ordered types that wait for one of their tasks, the first 1,000", ("task_type",)),
    "findings": Gauge("What the doctor has to say", ("code", "severity")),
    "instances": Gauge("Running schedulers"),
    "shards_unowned": Gauge("Shards that nobody reads"),
    "cleaning_behind_seconds": Gauge("How long the oldest settled row that is to be cleaned had been expired"),
}


class KeptLook:
    """Look at one outbox, not oftener than every ``kept_seconds``; any thread may ask, the others wait for one look.

    The look has a thread of its own: who asks waits for a few seconds, and no longer for a database that is silent.
    An AsyncEngine has another one beside it, which blocks. Raises what ``blocking`` raises.
    """

    def __init__(
        self, engine: AnyEngine, outbox: Outbox, kept_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = blocking(engine)
        self._outbox = outbox
        self._kept_seconds = kept_seconds
        self._clock = clock
        self.leave_to_parent()
        leave_at_fork(self)

    def leave_to_parent(self) -> None:
        """Look anew in the child of a fork: what is under way ends in the parent, and a lock may be held there."""
        self._lock = threading.Lock()
        self._look: Glimpse | None = None
        self._looked_at = 0.0
        self._began_at = 0.0
        self._is_done = threading.Event()
        self._thread: threading.Thread | None = None

    def latest(self, patience_seconds: float | None = None) -> Glimpse:
        """Return a look that may be some seconds old; one that failed is told in the log as well.

        One that takes too long is told as failed for as long as it goes on.
        """
        is_done = self.begin()
        patience = _PATIENCE_SECONDS if patience_seconds is None else patience_seconds
        if is_done.wait(patience) and self._look is not None:
            return self._look
        return Glimpse(self._clock() - self._began_at)

    def begin(self) -> threading.Event:
        """Return what is set at the end of the look that is to be waited for, which is begun if it is time."""
        with self._lock:
            goes_on = self._thread is not None and self._thread.is_alive() and not self._is_done.is_set()
            if not goes_on and (self._look is None or self._clock() - self._looked_at >= self._kept_seconds):
                self._began_at = self._clock()
                self._is_done = threading.Event()
                self._thread = threading.Thread(
                    target=self._look_anew, args=(self._is_done,), name="asyncflow-look", daemon=True
                )
                self._thread.start()
            return self._is_done

    def _look_anew(self, is_done: threading.Event) -> None:
        sight, findings = None, list[Finding]()
        try:
            sight, findings = look_and_find(self._engine, self._outbox)
        except Exception as error:
            hide_parameters(error)
            logging.getLogger("asyncflow").exception("The look for the gauges failed")
        self._looked_at = self._clock()
        self._look = Glimpse(self._looked_at - self._began_at, sight, findings)
        is_done.set()


def latest_of(looks: Mapping[str, KeptLook]) -> dict[str, Glimpse]:
    """Return the latest looks at several databases, which are taken side by side: all of them have one patience."""
    for look in looks.values():
        look.begin()
    until = time.monotonic() + _PATIENCE_SECONDS
    return {name: look.latest(max(0.0, until - time.monotonic())) for name, look in looks.items()}
