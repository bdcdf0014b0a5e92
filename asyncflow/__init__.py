"""asyncflow: a transactional outbox and task framework for SQLAlchemy applications."""

from asyncflow.outbox import Inbox, Message, MessageType, Outbox, Status, Task, TaskMixin
from asyncflow.scheduler import Scheduler, SchedulerSettings

__version__ = "0.1.0"

__all__ = [
    "Inbox",
    "Message",
    "MessageType",
    "Outbox",
    "Scheduler",
    "SchedulerSettings",
    "Status",
    "Task",
    "TaskMixin",
]
