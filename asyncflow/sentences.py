"""What an event means, in a sentence; each kind has one."""

from __future__ import annotations

from asyncflow import events
from asyncflow.events import Event

_SENTENCES: dict[type[Event], str] = {
    events.TaskEnqueued: "A task was enqueued",
    events.PageFetched: "Pages were read",
    events.TasksPublished: "A batch came back from the broker",
    events.AttemptFailed: "A handler failed",
    events.TaskRetried: "A task failed and is tried again later",
    events.TaskFailed: "A task failed for good: it is a dead letter",
    events.TasksSettled: "Outcomes were written",
    events.SettleFenced: "Outcomes came too late and changed nothing: the tasks are another one's by now",
    events.HandlerFailedLate: "A handler raised after its commit: its task, or message, is done",
    events.BuilderFailed: "A message builder failed",
    events.PublisherFailed: "A publisher raised",
    events.RowsLocked: "Tasks wait, for somebody else holds locks on their rows",
    events.PeriodicTasksEnqueued: "A periodic task was due and is enqueued",
    events.ClaimsRanOut: "Tasks were taken back from a worker that died or was cut off",
    events.AttemptsRefunded: "Tasks were taken back that nobody had begun: no attempt is spent",
    events.OwnershipChanged: "This instance has other shards now",
    events.ShardsHandedOver: "Shards were handed over",
    events.MembersChanged: "The instances that take part are others now",
    events.UnknownTypeSeen: "Tasks wait whose type is not declared here",
    events.UntakenMessageSeen: "Messages that no subscriber takes are acknowledged without an effect",
    events.MissingTopicSeen: "The broker has no topic of the name that a consumer is subscribed to",
    events.ConfigurationChanged: "A task type is configured anew",
    events.ConfigurationIgnored: "A row of the configuration is at fault and ignored",
    events.TasksChanged: "Somebody changed tasks on purpose",
    events.AuditEntriesDeleted: "Old audit rows were deleted",
    events.SettledRowsDeleted: "Old tasks were deleted",
    events.TasksRolledOver: "Finished tasks went into their numbered table",
    events.NumberedTableClosed: "A numbered table is full or old enough: the next one is begun",
    events.NumberedTableDropped: "A numbered table was dropped: its time was over",
    events.RollOverHeldUp: "Roll-over cannot go on and is tried again: nothing is lost, nothing dropped",
    events.RollOverGoesOn: "Roll-over goes on",
    events.ArchiveHeldUp: "Nothing can be archived now, so nothing is deleted; it is tried again",
    events.ArchiveGoesOn: "What is deleted is archived again",
    events.InboxEntriesDeleted: "Old inbox entries were deleted",
    events.RowsPutBack: "Rows that waited for nothing were put back",
    events.RowsPutInOrder: "Rows that were published without an order were put in order",
    events.IdempotencyKeysForgotten: "Old idempotency keys were forgotten",
    events.TickMisfired: "A tick came during work: one more run follows",
    events.StepFailed: "A step failed and is tried again",
    events.StepRecovered: "A step went well again",
    events.LoopRestarted: "A thread had died and was started anew",
    events.JobItemFinished: "A run of a job ended",
    events.JobFailed: "A job failed",
    events.JobFailedOver: "An item runs again after its owner ended",
    events.JobFenced: "A run was left out: the item is another instance's by now",
    events.JobStopped: "A job is stopped here by its error handler",
    events.SchedulerStarted: "The scheduler runs",
    events.SchedulerStopped: "The scheduler has stopped",
    events.ConsumerStarted: "The consumer runs",
    events.ConsumerStopped: "The consumer has stopped",
    events.WorkerStarted: "The worker runs",
    events.WorkerStopped: "The worker has stopped",
}
_BREAKERS = {
    "open": "A destination does not answer: its tasks wait and spend no attempt",
    "half-open": "A destination is tried again",
    "closed": "A destination answers again",
}
_UNCLEAN = "The {} has stopped and left work behind"


def sentence_of(event: Event) -> str:
    """Return what happened, without the fields that tell of what."""
    match event:
        case events.BreakerChanged():
            return _BREAKERS.get(event.state, "A circuit breaker changed")
        case events.SchedulerStopped(clean=False):
            return _UNCLEAN.format("scheduler")
        case events.WorkerStopped(clean=False):
            return _UNCLEAN.format("worker")
        case events.AttemptFailed():
            return _of_attempt(event)
        case events.OwnershipChanged() if event.lost:
            return "This instance lost shards: their lease had run out"
    return _SENTENCES.get(type(event), "Something happened")


def _of_attempt(event: events.AttemptFailed) -> str:
    again = "there is no further one" if event.delay_seconds is None else f"the next in {event.delay_seconds:.1f} s"
    return f"Attempt {event.attempt} of {event.attempts} failed, {again}"
