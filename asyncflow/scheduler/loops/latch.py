"""The wake latch between the metronome, the commits and a working loop."""

from __future__ import annotations

import threading

from asyncflow.events import Hooks, TickMisfired


class Latch:
    """Let one loop wait; lives as long as its loop. Any thread may wake it.

    A tick that comes while the loop works is latched: it gives exactly one further run, however many came.
    ``ticks``, ``misfired`` and ``coalesced`` count them.
    """

    def __init__(self, name: str, hooks: Hooks) -> None:
        self._name = name
        self._hooks = hooks
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._working = True
        self._latched = False
        self._was_woken = False
        self.ticks = self.misfired = self.coalesced = 0

    def wake(self) -> None:
        """End the present wait, or make the next one return at once."""
        self._woken.set()

    def tick(self) -> None:
        """Wake the loop for a tick of the metronome; count it if the loop is at work."""
        if self._count():
            self._hooks.emit(TickMisfired(self._name))
        self._woken.set()

    def wait(self, seconds: float) -> bool:
        """Wait for a wake-up for at most ``seconds``; return whether one came."""
        with self._lock:
            self._working = False
        self._woken.wait(seconds)
        with self._lock:
            self._working, self._latched = True, False
            # Cleared before the work begins: what wakes from now on is answered by a further run.
            self._was_woken = self._woken.is_set()  # also by one that came as the time was over
            if self._was_woken:
                self._woken.clear()
            return self._was_woken

    def was_woken(self) -> bool:
        """Tell, once, whether a wake-up ended the last wait; the loop itself asks."""
        was_woken, self._was_woken = self._was_woken, False
        return was_woken

    def _count(self) -> bool:
        with self._lock:
            self.ticks += 1
            if not self._working:
                return False
            if self._latched:
                self.coalesced += 1
                return False
            self.misfired += 1
            self._latched = True
            return True
