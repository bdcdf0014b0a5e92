"""What holds roll-over up: told when it lasts, told again while it does, and told when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from asyncflow.events import Hooks, RollOverGoesOn, RollOverHeldUp

_TELL_AGAIN_SECONDS = 600.0  # a finding is of the last hour


class HeldUp:
    """Know what fails in a row, and tell of it from the ``failures_to_tell``-th time on.

    Used by the cleaner's thread.
    """

    def __init__(self, hooks: Hooks, failures_to_tell: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._hooks = hooks
        self._failures_to_tell = failures_to_tell
        self._clock = clock
        self._by: tuple[str, str] | None = None
        self._failures = 0
        self._told_at: float | None = None
        self._told_table = ""

    def note(self, table: str, reason: str) -> None:
        """Take in why the next step of a table could not be done."""
        if self._by != (table, reason):
            self._by, self._failures = (table, reason), 0
        self._failures += 1
        now = self._clock()
        is_to_be_told = self._failures == self._failures_to_tell
        if is_to_be_told or (self._told_at is not None and now - self._told_at >= _TELL_AGAIN_SECONDS):
            self._told_at, self._told_table = now, table
            self._hooks.emit(RollOverHeldUp(table, reason))

    def is_over(self) -> None:
        """Know that the step went well."""
        self._by, self._failures = None, 0
        if self._told_at is not None:
            self._told_at = None
            self._hooks.emit(RollOverGoesOn(self._told_table))
