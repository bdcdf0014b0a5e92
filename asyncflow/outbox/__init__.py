"""The write side: tables, the outbox, the inbox. What business code touches."""

from asyncflow import library_versions as _checked_first  # noqa: F401 # isort: skip
from asyncflow.outbox.declarations.cloud_events import CloudEvents
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.declarations.periodic_task import PeriodicTask
from asyncflow.outbox.declarations.signals import CancelTask, NotDone, RejectTask, RetryTask
from asyncflow.outbox.declarations.task_type import MessageType
from asyncflow.outbox.dedupe import Enqueued
from asyncflow.outbox.inbox import Inbox
from asyncflow.outbox.look_up.found_task import FoundTask, FoundTasks
from asyncflow.outbox.message import RESULT, Call, FollowUp, Message
from asyncflow.outbox.outbox import Outbox
from asyncflow.outbox.outcome.results import Done, Failed, Gone, Pending
from asyncflow.outbox.rolling.roll_over import RollOver
from asyncflow.outbox.routing.databases import Databases
from asyncflow.outbox.status import Status
from asyncflow.outbox.tables import (
    TaskMixin,
    audit_table,
    context_table,
    dedupe_table,
    inbox_table,
    instance_table,
    job_table,
    parked_key_table,
    periodic_table,
    schedule_cfg_table,
    shard_table,
    task_table,
)
from asyncflow.outbox.task import Task

__all__ = [
    "RESULT",
    "Call",
    "CancelTask",
    "CloudEvents",
    "Databases",
    "Done",
    "Enqueued",
    "Failed",
    "FollowUp",
    "FoundTask",
    "FoundTasks",
    "Gone",
    "HandlerType",
    "Inbox",
    "Message",
    "MessageType",
    "NotDone",
    "Outbox",
    "Pending",
    "PeriodicTask",
    "RejectTask",
    "RetryTask",
    "RollOver",
    "Status",
    "Task",
    "TaskMixin",
    "audit_table",
    "context_table",
    "dedupe_table",
    "inbox_table",
    "instance_table",
    "job_table",
    "parked_key_table",
    "periodic_table",
    "schedule_cfg_table",
    "shard_table",
    "task_table",
]
