"""Options by name, for type checkers: what the fields of the declared types are called, and what they hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypedDict

from asyncflow.outbox.declarations.cloud_events import CloudEvents
from asyncflow.outbox.declarations.encrypting import Encrypting


class Follows(Protocol):
    """Be the one task that follows another, as ``task.later(...)`` makes it."""

    @property
    def task_type(self) -> str:
        """Return the name of its type."""
        ...

    @property
    def call(self) -> Any:
        """Return the call."""
        ...


class EnqueueOptions(TypedDict, total=False):
    """Name the options of one enqueued task."""

    key: str | None
    headers: Mapping[str, str] | None
    priority: int
    delay_seconds: float | timedelta
    run_at: datetime | None
    idempotency_key: str | None
    max_retries: int | None
    then: Follows | None
    unique_key: str | None


class TypeOptions(TypedDict, total=False):
    """Name the options of every task type."""

    max_retries: int
    retry_interval_seconds: float
    max_retry_interval_seconds: float
    retry_factor: float
    retry_jitter: float
    limit: int | None
    enabled: bool
    encryption: Encrypting | None


class MessageOptions(TypeOptions, total=False):
    """Name the options of a task type whose tasks are published."""

    destination: str
    topic: str
    rate_limit_per_second: float | None
    ordered: bool
    when_exhausted: Literal["block", "skip"]
    coalesce: bool
    cloudevents: CloudEvents | None
    captured: bool


class HandlerOptions(TypeOptions, total=False):
    """Name the options of a task type whose tasks a handler does."""

    max_processing_time_seconds: float
    concurrency: int
    interval_seconds: float
    transactional: bool
    keep_result: bool
    outcomes_to: str | None
    queue: str | None


class PeriodicOptions(TypedDict, total=False):
    """Name the options of a periodic task."""

    name: str
    timezone: str
    arguments: Mapping[str, Any]
    misfire: Literal["once", "all", "skip"]
    grace_seconds: float
