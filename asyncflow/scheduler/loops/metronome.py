"""The tick: APScheduler as a metronome only.

Its thread dies silently when a trigger raises, and its ``running`` stays True; so ``is_alive`` asks the thread
itself, and a watchdog calls it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from asyncflow.scheduler.loops.threads import Threads
from asyncflow.scheduler.loops.triggers import MachineTime

# APScheduler tells at INFO of each beat; and its own loggers are the application's, which may use it as well.
_LOGGER = logging.getLogger("asyncflow.metronome")
_LOGGER.setLevel(logging.WARNING)


class Metronome:
    """Call functions by triggers, each in microseconds: they set events and do no work.

    ``start`` and ``stop`` may each be called twice, by the one who starts the instance and, once it has, by its
    watchdog; APScheduler's own thread only calls the functions. ``add`` may be called by any thread, also while it
    beats. Those that come in one cadence are one job of APScheduler's, each of which costs it far more than a beat.
    """

    def __init__(self) -> None:
        self._cadences: list[_Cadence] = []
        self._scheduler: BackgroundScheduler | None = None
        self._lock = threading.Lock()

    def add(self, trigger: BaseTrigger, beat: Callable[[], None]) -> None:
        """Call ``beat`` by ``trigger`` from now on, or from the start."""
        with self._lock:
            known = next((one for one in self._cadences if one.is_of(trigger)), None)
            if known is not None:
                known.beats.append(beat)
                return
            cadence = _Cadence(trigger, [beat])
            self._cadences.append(cadence)
            if self._scheduler is not None:
                self._scheduler.add_job(cadence.strike, trigger)

    def start(self) -> None:
        """Begin to beat unless it does."""
        with self._lock:
            if self._scheduler is not None:
                return
            self._scheduler = _scheduler()
            for cadence in self._cadences:
                self._scheduler.add_job(cadence.strike, cadence.trigger)
            self._scheduler.start()

    def stop(self) -> None:
        """End the beat."""
        with self._lock:
            scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None and scheduler.running:
            scheduler.shutdown(wait=False)

    def is_alive(self) -> bool:
        """Tell whether the thread that beats is alive."""
        thread = getattr(self._scheduler, "_thread", None)
        return thread is not None and thread.is_alive()


@dataclass(frozen=True)
class _Cadence:
    """Hold what is called by one trigger."""

    trigger: BaseTrigger
    beats: list[Callable[[], None]]

    def is_of(self, trigger: BaseTrigger) -> bool:
        """Tell whether a trigger has this cadence: intervals are compared, crontab lines have times of their own."""
        both = (self.trigger, trigger)
        return all(isinstance(one, IntervalTrigger) for one in both) and len({one.interval for one in both}) == 1

    def strike(self) -> None:
        """Call all; one that raises ends none of the others, and APScheduler tells of it."""
        raised: Exception | None = None
        for beat in list(self.beats):
            try:
                beat()
            except Exception as error:  # noqa: BLE001 - raised when the others have been called
                raised = error
        if raised is not None:
            raise raised


class _Beats(BaseExecutor):  # type: ignore[misc]
    """Run the beats on a thread of our own: APScheduler's pools take none once the main thread has ended."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = Threads("asyncflow-metronome", 1)

    def start(self, scheduler: Any, alias: str) -> None:
        """Begin, and write to our own log."""
        super().start(scheduler, alias)
        self._logger = _LOGGER

    def shutdown(self, wait: bool = True) -> None:
        """Let the thread end."""
        self._threads.close()

    def _do_submit_job(self, job: Any, run_times: Any) -> None:
        self._threads.run(lambda: self._beat(job, run_times))

    def _beat(self, job: Any, run_times: Any) -> None:
        try:
            events = run_job(job, job._jobstore_alias, run_times, self._logger.name)
        except BaseException as error:  # noqa: BLE001 - told by APScheduler's own events
            self._run_job_error(job.id, error, error.__traceback__)
        else:
            self._run_job_success(job.id, events)


def _scheduler() -> BackgroundScheduler:
    # Every default that loses a tick is set: 1 s of grace drops ticks under load, and a job store in a
    # database deletes what it cannot import.
    return BackgroundScheduler(
        jobstores={"default": MemoryJobStore()},
        executors={"default": _Beats()},
        logger=_LOGGER,
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        timezone=MachineTime(),  # its own way asks for the zone's name, and raises where there is none
    )
