"""What is left alone for a while, and for longer each time that it comes back."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

_REMEMBERED = 4  # times its longest pause


class _Pause(NamedTuple):
    until: float
    seconds: float


class Pauses:
    """Remember tasks by their ids, each with a pause that doubles up to a ceiling; used by one thread at a time.

    With jitter, so that those that were met together do not come back together.
    """

    def __init__(self, shortest: float, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._shortest = shortest
        self._longest = longest
        self._clock = clock
        self._pauses: dict[UUID, _Pause] = {}

    def begin(self, task_id: UUID) -> float:
        """Begin a pause; return its seconds."""
        now = self._clock()
        forgotten = now - _REMEMBERED * self._longest
        self._pauses = {known: pause for known, pause in self._pauses.items() if pause.until > forgotten}
        before = self._pauses.get(task_id)
        longest = self._shortest if before is None else min(2 * before.seconds, self._longest)
        seconds = random.uniform(longest / 2, longest)
        self._pauses[task_id] = _Pause(now + seconds, longest)
        return seconds

    def lasts(self, task_id: UUID) -> bool:
        """Tell whether the task is still to be left alone."""
        pause = self._pauses.get(task_id)
        return pause is not None and pause.until > self._clock()
