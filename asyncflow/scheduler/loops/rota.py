"""Several steps on one thread, each when it is due."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asyncflow.events import Hooks, StepFailed, StepRecovered
from asyncflow.scheduler.loops.loop import seconds_after_failures


@dataclass
class Duty:
    """Hold one step of a rota, as a loop of its own would: what it is called, what it does, what ends it."""

    name: str
    step: Callable[[], float]
    at_end: Callable[[], None]
    is_woken: bool = False  # steps also when somebody wakes the rota
    due_at: float = 0.0
    failures: int = 0


class Rota:
    """Be the step of one loop that does the work of several; one thread steps it.

    ``was_woken`` tells, once for each wake-up, whether somebody woke that loop.

    For many databases in one process: what keeps a table in order is idle nearly always, and five threads for each
    database would be idle with it. A step that waits for the database lets the others of that database wait as well.
    """

    def __init__(
        self,
        duties: Sequence[Duty],
        hooks: Hooks,
        was_woken: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._duties = duties
        self._hooks = hooks
        self._was_woken = was_woken
        self._clock = clock

    def step(self) -> float:
        """Do what is due, and what is woken; return the seconds until something is due."""
        was_woken, now = self._was_woken(), self._clock()
        due = [one for one in self._duties if one.due_at <= now or (was_woken and one.is_woken)]
        for duty in due:
            pause = self._step_reporting(duty)
            duty.due_at = self._clock() + pause
        return max(0.0, min(one.due_at for one in self._duties) - self._clock())

    def close(self) -> None:
        """Give back what all of them hold; raises what the last that could not do so has raised."""
        raised: Exception | None = None
        for duty in self._duties:
            try:
                duty.at_end()
            except Exception as error:  # noqa: BLE001 - raised when the others have ended
                raised = error
        if raised is not None:
            raise raised

    def _step_reporting(self, duty: Duty) -> float:
        try:
            pause = duty.step()
        except Exception as error:  # noqa: BLE001 - the others go on, and this one is tried again
            pause = seconds_after_failures(duty.failures)
            duty.failures += 1
            self._hooks.emit(StepFailed(duty.name, error, pause))
            return pause
        if duty.failures:
            failures, duty.failures = duty.failures, 0
            self._hooks.emit(StepRecovered(duty.name, failures))
        return pause
