"""What the core tells the world: frozen events, handed to hooks.

The core never counts and never writes a log; metrics, the tests' signals and the log itself are hooks.
"""

from asyncflow.events.cluster_events import MembersChanged, OwnershipChanged, ShardsHandedOver
from asyncflow.events.event import Event
from asyncflow.events.hooks import ForksNothing, Hook, Hooks
from asyncflow.events.job_events import JobFailed, JobFailedOver, JobFenced, JobItemFinished, JobStopped
from asyncflow.events.life_events import (
    ConsumerStarted,
    ConsumerStopped,
    SchedulerStarted,
    SchedulerStopped,
    WorkerStarted,
    WorkerStopped,
)
from asyncflow.events.loop_events import LoopRestarted, StepFailed, StepRecovered, TickMisfired
from asyncflow.events.publishing_events import (
    BreakerChanged,
    BuilderFailed,
    PageFetched,
    PublisherFailed,
    TasksPublished,
)
from asyncflow.events.task_events import (
    AttemptFailed,
    AttemptsRefunded,
    ClaimsRanOut,
    HandlerFailedLate,
    RowsLocked,
    SettleFenced,
    TaskEnqueued,
    TaskFailed,
    TaskRetried,
    TasksChanged,
    TasksSettled,
)
from asyncflow.events.type_events import (
    ConfigurationChanged,
    ConfigurationIgnored,
    MissingTopicSeen,
    UnknownTypeSeen,
    UntakenMessageSeen,
)
from asyncflow.events.upkeep_events import (
    ArchiveGoesOn,
    ArchiveHeldUp,
    AuditEntriesDeleted,
    IdempotencyKeysForgotten,
    InboxEntriesDeleted,
    NumberedTableClosed,
    NumberedTableDropped,
    PeriodicTasksEnqueued,
    RollOverHeldUp,
    RowsPutBack,
    RowsPutInOrder,
    SettledRowsDeleted,
    TasksRolledOver,
)

__all__ = [
    "ArchiveGoesOn",
    "ArchiveHeldUp",
    "AttemptFailed",
    "AttemptsRefunded",
    "AuditEntriesDeleted",
    "BreakerChanged",
    "BuilderFailed",
    "ClaimsRanOut",
    "ConfigurationChanged",
    "ConfigurationIgnored",
    "ConsumerStarted",
    "ConsumerStopped",
    "Event",
    "ForksNothing",
    "HandlerFailedLate",
    "Hook",
    "Hooks",
    "IdempotencyKeysForgotten",
    "InboxEntriesDeleted",
    "JobFailed",
    "JobFailedOver",
    "JobFenced",
    "JobItemFinished",
    "JobStopped",
    "LoopRestarted",
    "MembersChanged",
    "MissingTopicSeen",
    "NumberedTableClosed",
    "NumberedTableDropped",
    "OwnershipChanged",
    "PageFetched",
    "PeriodicTasksEnqueued",
    "PublisherFailed",
    "RollOverHeldUp",
    "RowsLocked",
    "RowsPutBack",
    "RowsPutInOrder",
    "SchedulerStarted",
    "SchedulerStopped",
    "SettleFenced",
    "SettledRowsDeleted",
    "ShardsHandedOver",
    "StepFailed",
    "StepRecovered",
    "TaskEnqueued",
    "TaskFailed",
    "TaskRetried",
    "TasksChanged",
    "TasksPublished",
    "TasksRolledOver",
    "TasksSettled",
    "TickMisfired",
    "UnknownTypeSeen",
    "UntakenMessageSeen",
    "WorkerStarted",
    "WorkerStopped",
]
