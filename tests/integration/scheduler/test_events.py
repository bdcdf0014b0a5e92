from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from asyncflow import Status, events
from asyncflow.events import Event
from asyncflow.integrations.logging import LoggingHook
from asyncflow.scheduler import (
    SENT,
    Configurations,
    DeadLetters,
    Outcome,
    Record,
    Rejected,
    Retry,
    Selection,
    Unavailable,
)
from asyncflow.scheduler.loops import pulse
from asyncflow.testing import MemoryPublisher, Signals
from tests.integration.conftest import Schedule
from tests.integration.scheduler.settled import wait_for_settled
from tests.integration.scheduler.writing import FAR, long_ago, publish, publish_foreign, publish_many
from tests.support.application import Application
from tests.support.ended_threads import end_the_thread_that_publishes

EVERY = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)} - {Event}
# Of what this run has none of: faults in the user's code, own jobs, periodic tasks, workers elsewhere, consumers, locks
# of others, transactional handlers that raise too late, workers that died before they were heard to have begun, and
# steps that go well again.
OF_OTHERS = {
    *(events.AttemptFailed, events.BuilderFailed, events.PublisherFailed),
    *(
        events.RowsLocked,
        events.RowsPutBack,
        events.RowsPutInOrder,
        events.HandlerFailedLate,
        events.AttemptsRefunded,
        events.StepRecovered,
    ),
    *(events.JobFailed, events.JobFailedOver, events.JobFenced, events.JobStopped),
    *(events.PeriodicTasksEnqueued, events.WorkerStarted, events.WorkerStopped),
    *(events.UntakenMessageSeen, events.MissingTopicSeen, events.ConsumerStarted, events.ConsumerStopped),
    *(events.TasksRolledOver, events.NumberedTableClosed, events.NumberedTableDropped, events.RollOverHeldUp),
    events.RollOverGoesOn,
    *(events.ArchiveHeldUp, events.ArchiveGoesOn),
}
# Of which a slow machine may have some all the same: a lock that was waited for, and a step that went well again.
OF_THE_SLOW = {events.RowsLocked, events.StepRecovered}

CLEANING = {
    "cleaning_interval_seconds": 0.02,
    "dedupe_retention_seconds": 0.001,
    "audit_retention_seconds": 0.001,
    "inbox_retention_seconds": 0.001,
}

ANSWERS: dict[bytes, Outcome] = {b'"busy"': Retry("busy"), b'"never"': Rejected("too large")}


class Moody(MemoryPublisher):
    """Answer by the payload; be away once; let ``meanwhile`` happen once."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._moods = {b'"away"', b'"lose"'}
        self._meanwhile = meanwhile

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        mood = next((record.value for record in batch if record.value in self._moods), b"")
        self._moods.discard(mood)
        if mood == b'"lose"':
            self._meanwhile()
        if mood == b'"away"':
            return [Unavailable("refused")] * len(batch)
        return [ANSWERS.get(record.value, SENT) for record in batch]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_real_run_emits_every_event(
    application: Application, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "_WATCH_SECONDS", 0.01)
    end_the_thread_that_publishes(monkeypatch, lambda record: record.value == b'"die"')
    signals = application.signals
    application.outbox.hooks.add(signals)
    publish_many(application, 3)
    with application.scheduler(success_retention_seconds=None) as early:
        wait_for_settled(signals, "kafka", 3)
    long_ago(application)
    publish_foreign(application.engine, "from.tomorrow")
    claim_and_die(application)
    configure_and_cancel(application)
    publish(application, idempotency_key="long ago")
    with application.engine.begin() as connection:
        application.inbox.process_once(connection, "long ago", consumer="points")
    for mood in ("away", "die", "busy", "never"):
        publish(application, mood)
    moody = Moody(schedule(instance_count=1).ownership.acquire)
    scheduler = schedule(moody, tick=0.005, breaker_pause_seconds=0.01, **CLEANING)
    scheduler.start()
    with application.scheduler(heartbeat_seconds=0.1):
        signals.wait_for(events.ShardsHandedOver)
    wanted = EVERY - OF_OTHERS - {events.SettleFenced, events.StepFailed}
    for kind in wanted:
        signals.wait_for(kind)
    fence_and_fail(application)
    assert {type(event) for event in signals.events} - OF_THE_SLOW == EVERY - OF_OTHERS
    assert early.ownership.owner != scheduler.ownership.owner


def claim_and_die(application: Application) -> None:
    """Leave a task behind as a worker does that was killed long ago."""
    application.outbox.task()(handled)
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        task_id = application.outbox.enqueue(connection, handled)
        ran_out = {"status": int(Status.PROCESSING), "order_time": timedelta(seconds=-1)}
        connection.execute(update(tasks).where(tasks.c.id == task_id).values(**ran_out))


def handled() -> None: ...


def configure_and_cancel(application: Application) -> None:
    """Configure one type well and one badly, by hand; cancel a task, which leaves a row of audit."""
    Configurations(application.engine, application.outbox).put("user.registered", limit=1000)
    with application.engine.begin() as connection:
        wrong = {"task_type": "handled", "concurrency": 0, "modified_at": timedelta(0)}
        connection.execute(insert(application.outbox.schedule_cfgs), wrong)
    letters = DeadLetters(application.engine, application.outbox, hooks=[application.signals])
    letters.cancel(Selection(ids=[publish(application)]), actor="ann")


def fence_and_fail(application: Application) -> None:
    """Let another instance take the shards in the middle of a round, and then a step fail."""
    publish(application, "lose")
    application.signals.wait_for(events.SettleFenced)
    with application.engine.begin() as connection:
        application.outbox.tasks.drop(connection)
    application.signals.wait_for(events.StepFailed)


def test_events_tell_of_the_task(application: Application, schedule: Schedule) -> None:
    own = Signals()
    application.outbox.hooks.add(own)
    application.outbox.message("busy", **FAR)
    task_id = publish(application, task_type="busy", key="A1")
    schedule(MemoryPublisher(lambda _: Retry("busy"))).drain()
    assert own.of(events.TaskEnqueued) == [events.TaskEnqueued(task_id, "busy", "A1")]
    (retried,) = application.signals.of(events.TaskRetried)
    assert retried == events.TaskRetried(task_id, "busy", 1, 600, "busy")
    (fetched,) = application.signals.of(events.PageFetched)
    assert (fetched.destination, fetched.pages, fetched.tasks) == ("kafka", 1, 1)
    assert 0 < fetched.seconds < 60


def test_a_hook_that_raises_on_everything_disturbs_nothing(
    application: Application, schedule: Schedule, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("the hook is at fault")

    application.outbox.hooks.add(broken)
    publisher = MemoryPublisher()
    with caplog.at_level(logging.CRITICAL, "asyncflow"), schedule(publisher, broken):
        publish_many(application, 5)
        wait_for_settled(application.signals, "kafka", 5)
    assert len(publisher.records) == 5
    assert application.statuses() == [Status.SUCCESS] * 5


def test_a_hook_that_raises_is_told_with_its_event(
    sqlite_application: Application, sqlite_schedule: Schedule, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError("the hook is at fault")

    publish(sqlite_application)
    sqlite_schedule(None, broken).drain()
    assert "raised on PageFetched" in caplog.text


def test_the_logging_hook_tells_a_run_in_lines(
    sqlite_application: Application, sqlite_schedule: Schedule, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = publish(sqlite_application, "never")
    with caplog.at_level(logging.DEBUG, "asyncflow"):
        sqlite_schedule(Moody(), LoggingHook()).drain()
    lines = {(record.levelname, record.getMessage().partition("[")[2].split()[0]) for record in caplog.records}
    assert {
        ("INFO", "OwnershipChanged"),
        ("DEBUG", "PageFetched"),
        ("DEBUG", "TasksPublished"),
        ("DEBUG", "TasksSettled"),
        ("ERROR", "TaskFailed"),
    } <= lines
    assert f"TaskFailed task_id={task_id} task_type=user.registered retry_count=1 error='too large'" in caplog.text
