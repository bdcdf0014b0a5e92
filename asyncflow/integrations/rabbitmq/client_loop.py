"""pika's loop, run by whoever waits for something, and no longer than allowed."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from types import ModuleType
from typing import Any

# What pika hears of a lost connection it passes on by callbacks of its loop, of which one makes the next.
RUNS_TO_HEAR = 4


class ClientLoop:
    """Run the loop of one connection, on the thread of its publisher alone; ``wake`` may be called by any thread.

    Between two waits nobody runs it: what comes meanwhile is heard by ``hear``.
    """

    def __init__(self, library: ModuleType) -> None:
        self.native: Any = library.adapters.select_connection.IOLoop()

    def wait(self, is_over: Callable[[], bool], deadline: float) -> bool:
        """Run until it is over, or ``deadline`` (monotonic seconds); whoever changes something calls ``stop``."""
        while not is_over():
            seconds = deadline - monotonic()
            if seconds <= 0:
                return False
            self._run(seconds)
        return True

    def hear(self) -> None:
        """Take in what has come meanwhile, and wait for nothing."""
        for _ in range(RUNS_TO_HEAR):
            self._run(0.0)

    def stop(self, *_: object) -> None:
        """Let ``wait`` look again; what pika hands to a callback is of no interest here."""
        self.native.stop()

    def wake(self) -> None:
        """Let ``wait`` look again, from another thread."""
        self.native.add_callback_threadsafe(self.native.stop)

    def close(self) -> None:
        """Give the loop's sockets back."""
        self.native.close()

    def _run(self, seconds: float) -> None:
        timer = self.native.call_later(seconds, self.native.stop)
        try:
            self.native.start()
        finally:
            self.native.remove_timeout(timer)
