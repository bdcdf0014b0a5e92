"""What calls a job to work: ticks, commits, and whoever sees something due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from asyncflow.events import Hooks, TickMisfired
from asyncflow.scheduler.jobs.board import Board
from asyncflow.scheduler.loops.latch import Latch


class Summons:
    """Call the runner of one job; made before it, and lives as long. Any thread may call, in microseconds."""

    def __init__(
        self, name: str, hooks: Hooks, *, latches_misfires: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.clock = clock
        self.latch = Latch(name, hooks)
        self.board = Board(latches_misfires=latches_misfires)
        self.ticked = threading.Event()  # since the runner looked last
        self._owed: frozenset[int] = frozenset()
        self._hooks = hooks

    def tick(self) -> None:
        """Let every item of this instance run that does not run already."""
        if self.board.tick(self.clock()):
            self._hooks.emit(TickMisfired(self.name))
        self.ticked.set()
        self.latch.wake()

    def wake(self) -> None:
        """Let what rests look at once, without counting a tick."""
        self.board.wake(self.clock())
        self.latch.wake()

    def owe(self, items: Collection[int]) -> None:
        """Let these items be looked at: they were seen to be marked as owed a run."""
        self._owed = frozenset(items)
        self.latch.wake()

    def take_owed(self) -> frozenset[int]:
        """Return the items that were seen so since the last call."""
        owed, self._owed = self._owed, frozenset()
        return owed
