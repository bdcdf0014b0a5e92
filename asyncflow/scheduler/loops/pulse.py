"""The pulse: the metronome that ticks for loops, and the watchdog that revives those that died."""

from __future__ import annotations

from collections.abc import Callable

from asyncflow.events import Hooks, LoopRestarted
from asyncflow.scheduler.loops.loop import Loop
from asyncflow.scheduler.loops.metronome import Metronome

_WATCH_SECONDS = 1.0


class Pulse:
    """Tick for the loops of one instance, or of all that one process has, and watch over them.

    ``start`` and ``stop`` may each be called twice, by the thread that begins and ends the scheduler; what watches and
    what ticks is told before its start, or by any thread meanwhile.
    """

    def __init__(self, hooks: Hooks) -> None:
        self.metronome = Metronome()
        self._hooks = hooks
        self._watchdog = Loop("watchdog", self._watch, hooks)
        self._revivals: tuple[Callable[[], None], ...] = ()
        self._is_ending = False

    def watch(self, revive: Callable[[], None]) -> None:
        """Call ``revive`` every second, which starts anew what died."""
        self._revivals = (*self._revivals, revive)

    def start(self) -> None:
        """Begin, unless it has begun."""
        self.metronome.start()
        self._watchdog.start()

    def stop(self, seconds: float) -> None:
        """End; what is watched may die afterwards."""
        self._is_ending = True
        self._watchdog.stop(seconds)
        self.metronome.stop()

    def _watch(self) -> float:
        """Revive what died; a thread can end by an error that no handler sees."""
        for revive in self._revivals:
            revive()
        if not self.metronome.is_alive() and not self._is_ending:
            self._hooks.emit(LoopRestarted("metronome"))
            self.metronome.stop()
            self.metronome.start()
        return _WATCH_SECONDS
