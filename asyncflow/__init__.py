"""asyncflow: a transactional outbox and task framework for SQLAlchemy applications."""

from asyncflow.outbox import (
    Call,
    CancelTask,
    Enqueued,
    HandlerType,
    Inbox,
    Message,
    MessageType,
    NotDone,
    Outbox,
    PeriodicTask,
    RejectTask,
    RetryTask,
    Status,
    Task,
    TaskMixin,
)
from asyncflow.scheduler import (
    AsyncScheduler,
    DataflowJob,
    JobSettings,
    Scheduler,
    SchedulerSettings,
    ShardingContext,
    SimpleJob,
    TaskContext,
)

__version__ = "0.1.0"

__all__ = [
    "AsyncScheduler",
    "Call",
    "CancelTask",
    "DataflowJob",
    "Enqueued",
    "HandlerType",
    "Inbox",
    "JobSettings",
    "Message",
    "MessageType",
    "NotDone",
    "Outbox",
    "PeriodicTask",
    "RejectTask",
    "RetryTask",
    "Scheduler",
    "SchedulerSettings",
    "ShardingContext",
    "SimpleJob",
    "Status",
    "Task",
    "TaskContext",
    "TaskMixin",
]
