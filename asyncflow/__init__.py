"""asyncflow: a transactional outbox and task framework for SQLAlchemy applications."""

from asyncflow.outbox import Inbox, Message, MessageType, Outbox, Status, Task, TaskMixin
from asyncflow.scheduler import DataflowJob, JobSettings, Scheduler, SchedulerSettings, ShardingContext, SimpleJob

__version__ = "0.1.0"

__all__ = [
    "DataflowJob",
    "Inbox",
    "JobSettings",
    "Message",
    "MessageType",
    "Outbox",
    "Scheduler",
    "SchedulerSettings",
    "ShardingContext",
    "SimpleJob",
    "Status",
    "Task",
    "TaskMixin",
]
