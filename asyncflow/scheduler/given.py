"""What an application gives its scheduler, for type checkers: ``Scheduler(engine, outbox, publishers, tick=...)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypedDict, runtime_checkable

from asyncflow.events import Hook
from asyncflow.scheduler.cluster.registry import Registry
from asyncflow.scheduler.jobs.job import Job
from asyncflow.scheduler.publishing.publisher import Publisher
from asyncflow.scheduler.task_queue import TaskQueue

if TYPE_CHECKING:
    from asyncflow.scheduler.cluster.database_registry import DatabaseRegistry
    from asyncflow.scheduler.cluster.strategies import Strategy
    from asyncflow.scheduler.settings import OnSuccess


@runtime_checkable
class RegistryMaker(Protocol):
    """Make registries that keep in the database what must be kept there; holds nothing of a process.

    So a scheduler with it may be made before a fork: each child makes an instance, and a registry, of its own.
    """

    def instance_name(self) -> str:
        """Return a name for the instance of this process, which no other instance has."""
        ...

    def make(self, database: DatabaseRegistry) -> Registry:
        """Return a registry for the instance of ``database``; connects to nothing yet.

        Raises OptionError, or MissingExtraError.
        """
        ...


Publishers: TypeAlias = Mapping[str, Publisher]  # by their destinations
Queues: TypeAlias = Mapping[str, TaskQueue]  # by their names
Jobs: TypeAlias = Iterable[Job]
GivenRegistry: TypeAlias = Registry | RegistryMaker | None  # None: the database


class SchedulerOptions(TypedDict, total=False):
    """Name the fields of SchedulerSettings, with their types."""

    instance_index: int
    instance_count: int | None
    sharding_strategy: str | Strategy
    lease_seconds: float
    heartbeat_seconds: float
    tick: float | str
    min_pause_seconds: float
    max_pause_seconds: float
    wake_on_commit: bool
    round_size: int
    round_bytes: int
    on_success: OnSuccess
    claim_lease_seconds: float
    monitor_interval_seconds: float
    periodic_interval_seconds: float
    configuration_interval_seconds: float
    success_retention_seconds: float | None
    failed_retention_seconds: float | None
    audit_retention_seconds: float | None
    dedupe_retention_seconds: float | None
    inbox_retention_seconds: float | None
    archive_directory: str | None
    cleaning_interval_seconds: float
    cleaning_batch: int
    cleaning_pause_seconds: float
    breaker_pause_seconds: float
    max_breaker_pause_seconds: float
    stop_timeout_seconds: float


class SchedulerGiven(SchedulerOptions, total=False):
    """Name besides what else a Scheduler is given by name, for who makes it in the application's place."""

    jobs: Jobs
    registry: GivenRegistry
    queues: Queues
    hooks: Iterable[Hook]
