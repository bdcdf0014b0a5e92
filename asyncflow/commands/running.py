"""What the commands share that run until SIGTERM or SIGINT: their log, and their end."""

from __future__ import annotations

import logging
import sys
from typing import Any, Protocol

from asyncflow.commands.printing import PlainFormatter
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.integrations.kafka.client_log import show_client_lines

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


def show_log(*, verbose: bool) -> None:
    """Write what asyncflow logs to standard error; what libraries log, as far as a person needs it."""
    level = logging.DEBUG if verbose else logging.INFO
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("asyncflow").setLevel(level)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    show_client_lines(shown=verbose)


def run_until_stopped(runnable: Runnable, signals: StopSignals) -> int:
    """Run until the first signal, return the exit code; a signal that comes during the start is heard at its end.

    What ends without one has failed, and its supervisor is to know that.
    """
    with runnable:
        while not signals.is_heard:
            # Bounded, so that the signal's handler runs soon on every platform.
            if runnable.wait(0.2) and not signals.is_heard:
                print("it stopped without a signal; the log above may tell why", file=sys.stderr)
                return _ENDED_BY_ITSELF
        return 0 if runnable.stop() else _LEFT_BEHIND
