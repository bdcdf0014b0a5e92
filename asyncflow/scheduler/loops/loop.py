"""The one background loop: it steps, waits, stops and reports; what a step does is told elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable

from asyncflow.events import Hooks, LoopRestarted, StepFailed, StepRecovered
from asyncflow.leash import Leash
from asyncflow.scheduler.loops.latch import Latch

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class Loop:
    """Run ``step`` on a thread of its own until stopped.

    ``step`` returns the seconds until it wants to look again, 0 for at once. One that raises is reported as
    StepFailed and run again after a pause that doubles. ``start`` and ``stop`` may each be called twice, and
    ``stop`` before ``start``. ``at_end`` gives back what the step holds: the thread itself calls it last.
    A ``latch`` that is given was made before, by whoever gave it to those that wake the loop.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        hooks: Hooks,
        at_end: Callable[[], None] = lambda: None,
        latch: Latch | None = None,
    ) -> None:
        self.name = name
        self.latch = latch or Latch(name, hooks)
        self._step = step
        self._at_end: Callable[[], None] | None = at_end
        self._hooks = hooks
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._has_closed_well = True

    def start(self) -> None:
        """Start the thread unless it runs."""
        if self._thread is None and not self._stopping.is_set():
            self._launch()

    def ask_to_stop(self) -> None:
        """Let the loop end after the step in hand."""
        self._stopping.set()
        self.latch.wake()

    def stop(self, timeout_seconds: float) -> bool:
        """Stop and wait for the end; return False if it took longer, or could not give back what it held."""
        self.ask_to_stop()
        if self._thread is None or self.is_current():
            return True
        self._thread.join(max(0.0, timeout_seconds))
        return not self._thread.is_alive() and self._has_closed_well

    def is_current(self) -> bool:
        """Tell whether the caller runs on the loop's own thread."""
        return self._thread is threading.current_thread()

    def close(self) -> None:
        """Give back what the step holds, once; for a loop whose thread has ended or never began."""
        at_end, self._at_end = self._at_end, None
        try:
            if at_end is not None:
                at_end()
        except Exception as error:  # noqa: BLE001 - the database or the broker may be gone
            self._has_closed_well = False
            self._hooks.emit(StepFailed(self.name, error, 0.0))

    def revive(self) -> None:
        """Start anew if the thread died, as it can by an error that is no Exception."""
        if self._thread is not None and not self._thread.is_alive() and not self._stopping.is_set():
            self._hooks.emit(LoopRestarted(self.name))
            self._launch()

    def _launch(self) -> None:
        thread = threading.Thread(target=self._run, name=f"asyncflow-{self.name}", daemon=True)
        thread.start()  # raises where the system gives no more threads: one that never began cannot be joined
        self._thread = thread

    def _run(self) -> None:
        self._thread = threading.current_thread()  # a step may ask before whoever started it has gone on
        while not self._stopping.is_set():
            pause = self._step_reporting()
            if pause > 0:
                self.latch.wait(pause)
        self.close()

    def _step_reporting(self) -> float:
        try:
            with Leash():
                pause = self._step()
        except Exception as error:  # noqa: BLE001 - the loop outlives every fault of a step, and tells it
            pause = seconds_after_failures(self._failures)
            self._failures += 1
            self._hooks.emit(StepFailed(self.name, error, pause))
            # Not the latch: commits and ticks must not turn a fault into a busy loop.
            self._stopping.wait(pause)
            return 0.0
        if self._failures:
            failures, self._failures = self._failures, 0
            self._hooks.emit(StepRecovered(self.name, failures))
        return pause


def seconds_after_failures(failures: int) -> float:
    """Return how long to wait after one more failure, when there were so many in a row before."""
    return min(_FIRST_PAUSE_SECONDS * (1 << min(failures, 10)), _LONGEST_PAUSE_SECONDS)
