"""Events of the life of a process: schedulers and workers that start and stop."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.events.event import Event


@dataclass(frozen=True, slots=True)
class SchedulerStarted(Event):
    """The scheduler's loops run; it works for these destinations, messages, handlers, periodic tasks and jobs."""

    owner: str
    instance_index: int
    instance_count: int | None
    database: str = ""  # its URL, without the password
    destinations: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ()
    periodic_tasks: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SchedulerStopped(Event):
    """The scheduler's loops have ended; ``clean`` is False if one had to be left behind."""

    owner: str
    clean: bool


@dataclass(frozen=True, slots=True)
class ConsumerStarted(Event):
    """A consumer asks a broker for messages of ``topics`` from now on, for these ``subscribers``, by name."""

    topics: tuple[str, ...]
    subscribers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConsumerStopped(Event):
    """A consumer takes no more messages; the one in hand has ended."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A worker takes tasks of ``task_types`` from the task service at ``server``, or from a queue, from now on."""

    worker: str
    server: str
    task_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerStopped(Event):
    """A worker of a task service, or of a queue, has stopped; ``clean`` if its work in hand ended in time."""

    worker: str
    clean: bool
