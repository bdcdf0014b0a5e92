"""What the configuration table says of one task type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from asyncflow.errors import OptionError
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.declarations.task_type import TaskType
from asyncflow.outbox.options import field_names, refuse_unknown
from asyncflow.text import shown

TypeT = TypeVar("TypeT", bound=TaskType)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeConfig:
    """Hold the options of a task type that replace those of its declaration; None: as declared.

    They mean what the fields of HandlerType and MessageType mean. Those of messages have no ``interval_seconds``,
    ``max_processing_time_seconds`` or ``concurrency``. ``max_retries`` goes before the number written at the enqueue.
    """

    task_type: str
    limit: int | None = None  # tasks claimed at once, or messages in one round, in each process
    interval_seconds: float | None = None  # least time between two claims, in each process
    max_processing_time_seconds: float | None = None  # of one attempt
    max_retries: int | None = None  # in force when an attempt begins
    retry_interval_seconds: float | None = None  # before the first retry
    max_retry_interval_seconds: float | None = None  # where its growth ends
    enabled: bool | None = None  # False: the tasks wait, and may still be enqueued
    concurrency: int | None = None  # handlers at work at once, in each process

    @classmethod
    def of(cls, task_type: str, values: Mapping[str, Any]) -> TypeConfig:
        """Make one from a row; what its columns hold is checked by ``over``."""
        enabled = values.get("enabled")
        is_flag = type(enabled) is int and enabled in (0, 1)  # as databases without a boolean of their own keep it
        return cls(task_type=task_type, **{**values, "enabled": bool(enabled) if is_flag else enabled})

    def options(self) -> dict[str, Any]:
        """Return the options that are set."""
        return {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}

    def over(self, declared: TypeT) -> TypeT:
        """Return the type as it is in force: the declared one with these options; raises OptionError."""
        options = self.options()
        if not isinstance(declared, HandlerType):
            refuse_for_messages(self.task_type, options)
        return replace(declared, **options, configured_max_retries=self.max_retries)


OPTIONS = field_names(TypeConfig, but=("task_type",))
_FOR_HANDLERS = {
    "interval_seconds": "declare rate_limit_per_second",
    "max_processing_time_seconds": "give the publisher's client a time-out",
    "concurrency": "set limit",
}


def refuse_for_messages(name: str, options: Mapping[str, Any]) -> None:
    """Raise OptionError for an option that only tasks with handlers have."""
    for option in options.keys() & _FOR_HANDLERS.keys():
        if options[option] is not None:
            raise OptionError(
                f"{option} is {shown(options[option])}, but {name!r} is published and has no handler; "
                f"leave it out, or {_FOR_HANDLERS[option]}"
            )


def refuse_unknown_options(options: Mapping[str, Any]) -> None:
    """Raise UnknownOptionError, with the nearest name, for what the table has no column for."""
    refuse_unknown("the configuration", options, OPTIONS)
