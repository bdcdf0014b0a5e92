"""How a command runs until SIGTERM or SIGINT, and how it ends."""

from __future__ import annotations

import sys
from typing import Any, Protocol

from asyncflow.commands.processes.garbage import let_garbage_rest
from asyncflow.commands.stop_signals import StopSignals

_LEFT_BEHIND = 3
_ENDED_BY_ITSELF = 1


class Runnable(Protocol):
    """Run from ``__enter__`` to ``stop``."""

    def __enter__(self) -> Any:
        """Start."""
        ...

    def __exit__(self, *given: Any) -> None:
        """Stop."""
        ...

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it has stopped."""
        ...

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Stop; return whether the work in hand ended."""
        ...


def run_until_stopped(runnable: Runnable, signals: StopSignals) -> int:
    """Run until the first signal, return the exit code; a signal that comes during the start is heard at its end.

    What ends without one has failed, and its supervisor is to know that.
    """
    with runnable:
        let_garbage_rest()
        while not signals.is_heard:
            # Bounded, so that the signal's handler runs soon on every platform.
            if runnable.wait(0.2) and not signals.is_heard:
                print("it stopped without a signal; the log above may tell why", file=sys.stderr)
                return _ENDED_BY_ITSELF
        return 0 if runnable.stop() else _LEFT_BEHIND
