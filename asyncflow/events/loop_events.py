"""Events of the loops in the background."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.events.event import Event


@dataclass(frozen=True, slots=True)
class TickMisfired(Event):
    """A tick came while ``loop`` was at work; one further run follows."""

    loop: str


@dataclass(frozen=True, slots=True)
class StepFailed(Event):
    """A step of a background loop raised; the loop goes on after ``pause_seconds``."""

    loop: str
    error: BaseException
    pause_seconds: float


@dataclass(frozen=True, slots=True)
class StepRecovered(Event):
    """A step of a background loop went well again, after ``failures`` that raised."""

    loop: str
    failures: int


@dataclass(frozen=True, slots=True)
class LoopRestarted(Event):
    """The watchdog found a dead thread and started it anew."""

    loop: str
