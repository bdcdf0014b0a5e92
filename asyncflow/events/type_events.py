"""Events of task types: unknown here, or configured anew."""

from __future__ import annotations

from dataclasses import dataclass

from asyncflow.events.event import Event


@dataclass(frozen=True, slots=True)
class UnknownTypeSeen(Event):
    """Rows of a task type that this process does not declare wait; they are left alone."""

    task_type: str


@dataclass(frozen=True, slots=True)
class UntakenMessageSeen(Event):
    """No subscriber here takes messages of ``task_type`` from ``topic``: they are acknowledged without an effect."""

    task_type: str
    topic: str


@dataclass(frozen=True, slots=True)
class MissingTopicSeen(Event):
    """The broker has no ``topic`` of this name, to which a consumer is subscribed; what comes later is taken."""

    topic: str


@dataclass(frozen=True, slots=True)
class ConfigurationChanged(Event):
    """The options of ``task_type`` that the configuration table sets are ``options`` from now on, in this process."""

    task_type: str
    options: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class ConfigurationIgnored(Event):
    """A row of the configuration table is at fault; ``task_type`` goes on as declared until the row is mended."""

    task_type: str
    error: str
