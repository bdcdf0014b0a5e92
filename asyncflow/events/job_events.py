"""Events of jobs, and of their items."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.events.event import Event


@dataclass(frozen=True, slots=True)
class JobItemFinished(Event):
    """A run of a job's item ended; the item is None where a job takes its whole share at once."""

    job: str
    item: int | None
    batches: int
    seconds: float


@dataclass(frozen=True, slots=True)
class JobFailed(Event):
    """A job's code raised; a stream goes on after ``pause_seconds``, other jobs with the next tick."""

    job: str
    item: int | None
    error: BaseException
    pause_seconds: float


@dataclass(frozen=True, slots=True)
class JobFailedOver(Event):
    """An item that was running when its owner ended, or that was owed a run, runs again at once."""

    job: str
    item: int


@dataclass(frozen=True, slots=True)
class JobFenced(Event):
    """A run was left out, or its end not noted, for another instance owns the item now."""

    job: str
    item: int


@dataclass(frozen=True, slots=True)
class JobStopped(Event):
    """The error handler THROW stopped the job in this instance; its items are given back."""

    job: str
    error: BaseException
