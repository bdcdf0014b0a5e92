"""The run side: what is deployed once per instance."""

from asyncflow.scheduler.async_scheduler import AsyncScheduler
from asyncflow.scheduler.branches.sources import engines_from_toml
from asyncflow.scheduler.configuration.configurations import Configurations
from asyncflow.scheduler.configuration.type_config import TypeConfig
from asyncflow.scheduler.counters import Counters
from asyncflow.scheduler.drained import Drained
from asyncflow.scheduler.jobs import DataflowJob, JobSettings, ShardingContext, SimpleJob
from asyncflow.scheduler.operator.audit import Audit, AuditEntry
from asyncflow.scheduler.operator.dead_letters import DeadLetters
from asyncflow.scheduler.operator.selection import Selection
from asyncflow.scheduler.publishing.publisher import (
    SENT,
    Outcome,
    Publisher,
    Record,
    Rejected,
    Retry,
    Sent,
    Unavailable,
)
from asyncflow.scheduler.queue_worker import QueueWorker
from asyncflow.scheduler.scheduler import Scheduler
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.worker.task_context import TaskContext

__all__ = [
    "SENT",
    "AsyncScheduler",
    "Audit",
    "AuditEntry",
    "Configurations",
    "Counters",
    "DataflowJob",
    "DeadLetters",
    "Drained",
    "JobSettings",
    "Outcome",
    "Publisher",
    "QueueWorker",
    "Record",
    "Rejected",
    "Retry",
    "Scheduler",
    "SchedulerSettings",
    "Selection",
    "Sent",
    "ShardingContext",
    "SimpleJob",
    "TaskContext",
    "TypeConfig",
    "Unavailable",
    "engines_from_toml",
]
