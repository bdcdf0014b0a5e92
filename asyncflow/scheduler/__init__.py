"""The run side: what is deployed once per instance."""

from asyncflow.scheduler.audit import Audit, AuditEntry
from asyncflow.scheduler.configuration import Configurations
from asyncflow.scheduler.counters import Counters
from asyncflow.scheduler.dead_letters import DeadLetters
from asyncflow.scheduler.jobs import DataflowJob, JobSettings, ShardingContext, SimpleJob
from asyncflow.scheduler.publisher import SENT, Outcome, Publisher, Record, Rejected, Retry, Sent, Unavailable
from asyncflow.scheduler.scheduler import Scheduler
from asyncflow.scheduler.selection import Selection
from asyncflow.scheduler.settings import SchedulerSettings
from asyncflow.scheduler.task_context import TaskContext
from asyncflow.scheduler.type_config import TypeConfig

__all__ = [
    "SENT",
    "Audit",
    "AuditEntry",
    "Configurations",
    "Counters",
    "DataflowJob",
    "DeadLetters",
    "JobSettings",
    "Outcome",
    "Publisher",
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
]
