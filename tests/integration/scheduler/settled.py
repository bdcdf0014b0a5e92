"""Waiting for settled tasks."""

from __future__ import annotations

from asyncflow.events import TasksSettled
from asyncflow.testing import Signals

_LONG_SECONDS = 150.0  # for thousands, on a busy machine


def wait_for_settled(signals: Signals, destination: str, count: int) -> None:
    """Wait until ``count`` tasks of a destination are settled as SUCCESS."""

    def enough(_: TasksSettled) -> bool:
        settled = [event for event in signals.of(TasksSettled) if event.destination == destination]
        return sum(event.succeeded for event in settled) >= count

    signals.wait_for(TasksSettled, enough, timeout_seconds=_LONG_SECONDS)
