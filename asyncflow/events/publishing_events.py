"""Events of messages on their way to a destination."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.events.event import Event


@dataclass(frozen=True, slots=True)
class PageFetched(Event):
    """A round of pages was read: ``tasks`` rows of ``pages`` lanes."""

    destination: str
    pages: int
    tasks: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TasksPublished(Event):
    """A batch came back from the broker; ``sent`` of ``tasks`` were acknowledged."""

    destination: str
    tasks: int
    sent: int
    seconds: float


@dataclass(frozen=True, slots=True)
class BuilderFailed(Event):
    """A message builder raised for ``tasks`` of a type; each of them is tried alone, then again later."""

    task_type: str
    tasks: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class PublisherFailed(Event):
    """A publisher raised for a batch of ``records``; each of them is tried alone, then again later."""

    destination: str
    records: int
    error: BaseException


@dataclass(frozen=True, slots=True)
class BreakerChanged(Event):
    """A destination's circuit breaker, or that of one ``topic`` there, is now ``closed``, ``open`` or ``half-open``."""

    destination: str
    state: str
    retry_in_seconds: float
    error: str
    topic: str | None = None
