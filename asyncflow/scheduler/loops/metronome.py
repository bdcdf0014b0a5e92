"""The tick: APScheduler as a metronome only.

Its thread dies silently when a trigger raises, and its ``running`` stays True; so ``is_alive`` asks the thread
itself, and a watchdog calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from asyncflow.scheduler.loops.threads import Threads

# APScheduler tells at INFO of each beat; and its own loggers are the application's, which may use it as well.
_LOGGER = logging.getLogger("asyncflow.metronome")
_LOGGER.setLevel(logging.WARNING)


class Metronome:
    """Call functions by triggers, each in microseconds: they set events and do no work.

    ``start`` and ``stop`` may each be called twice, by the one who starts the instance and, once it has, by its
    watchdog; APScheduler's own thread only calls the functions.
    """

    def __init__(self) -> None:
        self._beats: list[tuple[BaseTrigger, Callable[[], None]]] = []
        self._scheduler: BackgroundScheduler | None = None

    def add(self, trigger: BaseTrigger, beat: Callable[[], None]) -> None:
        """Call ``beat`` by ``trigger`` from the next start on."""
        self._beats.append((trigger, beat))

    def start(self) -> None:
        """Begin to beat unless it does."""
        if self._scheduler is not None:
            return
        self._scheduler = _scheduler()
        for trigger, beat in self._beats:
            self._scheduler.add_job(beat, trigger)
        self._scheduler.start()

    def stop(self) -> None:
        """End the beat."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None and scheduler.running:
            scheduler.shutdown(wait=False)

    def is_alive(self) -> bool:
        """Tell whether the thread that beats is alive."""
        thread = getattr(self._scheduler, "_thread", None)
        return thread is not None and thread.is_alive()


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
    )
