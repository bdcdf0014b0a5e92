"""What begins in order, and ends in reverse."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.threads import serve

_LEAST_SECONDS = 2.0  # for what asks the database last, whatever the others have taken


@dataclass
class Stop:
    """Hold how long a stop may last, and whether all that it has ended so far ended well: what is behind may ask."""

    seconds: float
    is_clean: bool = True
    _began: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float:
        """Return how long may still be waited."""
        return self._began + self.seconds - time.monotonic()

    def awaits(self, work: Callable[[], object], whom: object) -> bool:
        """Wait for ``work`` in the time left, and for a moment at the least; return whether it has ended.

        It asks a database that may say nothing, so it is done on a thread, which serves ``whom``, and goes on there.
        """
        has_ended = threading.Event()

        def run() -> None:
            serve(whom)
            work()
            has_ended.set()

        try:
            threading.Thread(target=run, name="asyncflow-ending", daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            work()
            return True
        return has_ended.wait(max(_LEAST_SECONDS, self.seconds_left))

    def requires(self, work: Callable[[], object], whom: object) -> None:
        """Wait for ``work`` likewise; the end is none that is clean unless it has ended."""
        self.is_clean &= self.awaits(work, whom)


class Step(NamedTuple):
    """Name how something begins and how it ends; each may be called twice, and the end without a beginning."""

    begin: Callable[[], object]
    end: Callable[[Stop], object]


def begin(steps: Sequence[Step]) -> None:
    """Begin each in order; what one of them raises is raised, and the next call goes on from there."""
    for step in steps:
        step.begin()


def end(steps: Sequence[Step], seconds: float) -> bool:
    """End each in reverse, within so many seconds; return whether all ended well."""
    stop = Stop(seconds)
    for step in reversed(steps):
        step.end(stop)
    return stop.is_clean


def start_all(loops: Sequence[Loop]) -> None:
    """Start the loops."""
    for loop in loops:
        loop.start()


def stop_all(loops: Sequence[Loop], stop: Stop) -> None:
    """Ask all loops to stop, and wait for them; what they hold is given back by those that have ended."""
    for loop in loops:
        loop.ask_to_stop()
    ended = [loop.stop(stop.seconds_left) for loop in loops]
    stop.is_clean &= all(ended)
    if stop.is_clean:
        for loop in loops:
            if not loop.is_current():
                loop.close()
