"""The tick: APScheduler as a metronome only.

Its thread dies silently when a trigger raises, and its ``running`` stays True; so ``is_alive`` asks the thread
itself, and a watchdog calls it.
"""

from __future__ import annotations

from collections.abc import Callable

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger


class Metronome:
    """Call functions by triggers, each in microseconds: they set events and do no work.

    ``start`` and ``stop`` may each be called twice.
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


def _scheduler() -> BackgroundScheduler:
    # Every default that loses a tick is set: 1 s of grace drops ticks under load, and a job store in a
    # database deletes what it cannot import.
    return BackgroundScheduler(
        jobstores={"default": MemoryJobStore()},
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
