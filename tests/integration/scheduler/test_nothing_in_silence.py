"""What a person sees without a hook: in the log, in a row's own log, and from a drain."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import MetaData, select

from asyncflow import CancelTask, NotDone, Outbox, RejectTask, Scheduler, SimpleJob, Task
from asyncflow.errors import UndeliveredError
from asyncflow.events import TasksSettled, UnknownTypeSeen
from asyncflow.scheduler import SENT, DeadLetters, Outcome, Publisher, Record, Rejected, Retry, Unavailable
from asyncflow.scheduler.jobs.runner import JobRunner
from asyncflow.scheduler.relay.relay import Relay
from asyncflow.scheduler.upkeep.strays import Strays
from asyncflow.scheduler.worker.rescuing.monitor import Monitor
from asyncflow.scheduler.worker.worker import Worker
from asyncflow.testing import MemoryPublisher, Signals
from tests.integration.scheduler.logs import Log
from tests.support.application import Application


def scheduler_of(application: Application, publisher: MemoryPublisher | None = None) -> Scheduler:
    """Make one with no hook at all."""
    return Scheduler(application.engine, application.outbox, {"kafka": publisher or MemoryPublisher()})


def enqueue(application: Application, name: str, *several: dict[str, Any]) -> None:
    with application.session() as session, session.begin():
        for arguments in several:
            application.outbox.enqueue(session, name, **arguments)


def declare_handlers(outbox: Outbox) -> None:
    @outbox.task(max_retries=1, retry_interval_seconds=0)
    def issue_coupon(account_no: str) -> None:
        find_account(account_no)

    def find_account(account_no: str) -> None:
        raise LookupError(f"there is no account {account_no}")


def test_what_a_handler_raises_is_in_the_log_with_its_traceback(sqlite_application: Application, log: Log) -> None:
    declare_handlers(sqlite_application.outbox)
    enqueue(sqlite_application, "issue_coupon", {"account_no": "A1"})
    scheduler_of(sqlite_application).drain()
    lines = [record for record in log.records() if record.name == "asyncflow.tasks.issue_coupon"]
    assert [record.levelname for record in lines] == ["WARNING", "WARNING"]
    first, second = (record.getMessage() for record in lines)
    assert first.startswith("Attempt 1 of 2 failed, the next in 0.0 s [AttemptFailed ")
    assert second.startswith("Attempt 2 of 2 failed, there is no further one [")
    traces = "".join(record.exc_text or "" for record in lines)
    assert "LookupError: there is no account A1" in traces
    assert 'raise LookupError(f"there is no account {account_no}")' in traces
    assert "attempt.py" not in traces  # it begins in the user's code
    assert [record.getMessage()[:27] for record in log.records(logging.ERROR)] == ["A task failed for good: it "]


def test_the_innermost_frames_are_kept_with_the_task(sqlite_application: Application) -> None:
    declare_handlers(sqlite_application.outbox)
    enqueue(sqlite_application, "issue_coupon", {"account_no": "A1"})
    scheduler_of(sqlite_application).drain()
    (letter,) = DeadLetters(sqlite_application.engine, sqlite_application.outbox).list().letters
    log = DeadLetters(sqlite_application.engine, sqlite_application.outbox).inspect(letter.task_id).log
    line = log.splitlines()[0]
    assert "LookupError: there is no account A1 [test_nothing_in_silence.py:" in line
    assert " in find_account, called from test_nothing_in_silence.py:" in line
    assert line.endswith(" in issue_coupon]")  # how we came to call it helps nobody


def test_the_start_tells_what_the_scheduler_declares_and_where(
    sqlite_application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    declare_handlers(sqlite_application.outbox)
    sqlite_application.outbox.periodic("issue_coupon", "0 3 * * *", arguments={"account_no": "A1"}, name="nightly")
    with caplog.at_level(logging.INFO, "asyncflow"), scheduler_of(sqlite_application) as scheduler:
        pass
    (line,) = [record.getMessage() for record in caplog.records if "SchedulerStarted" in record.getMessage()]
    assert line.startswith("The scheduler runs [")
    for told in (
        f"owner={scheduler.ownership.owner}",
        f"database=sqlite:///{sqlite_application.engine.url.database}",
        "destinations=kafka",
        "messages=user.registered",
        "handlers=issue_coupon",
        "periodic_tasks=nightly",
    ):
        assert told in line


def test_no_password_is_told(application: Application, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), scheduler_of(application):
        pass
    url = application.engine.url
    assert f"database={url.set(query={}).render_as_string(hide_password=True)}" in caplog.text
    assert url.password is None or f":{url.password}@" not in caplog.text


@pytest.mark.parametrize("fault", ["builder", "publisher"])
def test_what_a_builder_or_a_publisher_raises_is_in_the_log_with_its_traceback(
    fault: str, sqlite_application: Application, log: Log
) -> None:
    def raise_here(*_: object) -> Any:
        raise LookupError("there is no account")

    @sqlite_application.outbox.message("built")
    def build(session: object, tasks: Sequence[Task]) -> list[str]:
        return raise_here() if fault == "builder" else ["built"] * len(tasks)

    with sqlite_application.session() as session, session.begin():
        sqlite_application.outbox.publish(session, "built")
    scheduler_of(sqlite_application, MemoryPublisher(raise_here if fault == "publisher" else lambda _: SENT)).drain()
    (line,) = [record for record in log.records() if record.exc_info]
    assert line.getMessage().startswith(f"A {'message builder failed' if fault == 'builder' else 'publisher raised'} [")
    assert line.levelname == "WARNING"
    assert "in raise_here" in (line.exc_text or "")


def test_a_broker_that_is_away_is_told(sqlite_application: Application, log: Log) -> None:
    with sqlite_application.session() as session, session.begin():
        sqlite_application.outbox.publish(session, "user.registered", {})
    scheduler_of(sqlite_application, MemoryPublisher(lambda _: Unavailable("refused"))).drain()
    (line,) = [record.getMessage() for record in log.records(logging.WARNING)]
    assert line.startswith("A destination does not answer: its tasks wait and spend no attempt [BreakerChanged ")
    assert "destination=kafka" in line
    assert "error=refused" in line


def test_an_applications_log_is_not_flooded(sqlite_application: Application, log: Log) -> None:
    with log.caplog.at_level(logging.INFO), scheduler_of(sqlite_application, MemoryPublisher()) as scheduler:
        scheduler.hooks.add(sqlite_application.signals)
        for _ in range(5):
            with sqlite_application.session() as session, session.begin():
                sqlite_application.outbox.publish(session, "user.registered", {})
        settled = 0
        while settled < 5:
            settled = sum(event.succeeded for event in sqlite_application.signals.of(TasksSettled))
            sqlite_application.signals.wait_for(TasksSettled)
        for _ in range(3):
            scheduler.metronome.stop()
            scheduler.metronome.start()
    assert {record.name.split(".")[0] for record in log.records()} <= {"asyncflow"}
    assert len(log.records()) < 15, log.caplog.text


def test_a_drain_tells_what_it_sent_did_failed_and_left(application: Application) -> None:
    outbox = application.outbox
    says = {
        "ok": None,
        "off": CancelTask("no"),
        "never": RejectTask("no"),
        "later": NotDone(600),
        "again": ValueError("again"),
    }

    @outbox.task(retry_interval_seconds=600, max_retry_interval_seconds=600)
    def work(say: str) -> None:
        if (signal := says[say]) is not None:
            raise signal

    def answer(record: Record) -> Outcome:
        answers: dict[bytes, Outcome] = {b'"ok"': SENT, b'"busy"': Retry("busy")}
        return answers.get(record.value, Rejected("too large"))

    outbox.message("slow", retry_interval_seconds=600, max_retry_interval_seconds=600)
    enqueue(application, "work", *({"say": say} for say in says))
    with application.session() as session, session.begin():
        for payload in ("ok", "ok", "busy", "bad"):
            outbox.publish(session, "slow", payload)
        outbox.publish(session, "user.registered", "ok", delay_seconds=600)
    drained = scheduler_of(application, MemoryPublisher(answer)).drain()
    assert (drained.sent, drained.done, drained.cancelled) == (2, 1, 1)
    assert (drained.retried, drained.failed, drained.unreachable) == (2, 2, ())
    assert drained.left == {"work": 2, "slow": 1, "user.registered": 1}
    told = sorted((type(error).__name__, str(error)) for error in drained.errors)
    assert told == [
        ("RejectTask", "no"),
        ("UndeliveredError", "slow: busy"),
        ("UndeliveredError", "slow: too large"),
        ("ValueError", "again"),
    ]


def test_a_drain_can_raise_the_first_error(sqlite_application: Application) -> None:
    declare_handlers(sqlite_application.outbox)
    enqueue(sqlite_application, "issue_coupon", {"account_no": "A1"}, {"account_no": "A2"})
    with pytest.raises(LookupError, match="no account A"):
        scheduler_of(sqlite_application).drain(raise_errors=True)
    tasks = sqlite_application.outbox.tasks
    assert [row.status for row in sqlite_application.rows(select(tasks.c.status))] == [3, 3]


def test_a_drain_tells_what_it_could_not_reach(sqlite_application: Application) -> None:
    with sqlite_application.session() as session, session.begin():
        sqlite_application.outbox.publish(session, "user.registered", {})
    scheduler = scheduler_of(sqlite_application, MemoryPublisher(lambda _: Unavailable("refused")))
    drained = scheduler.drain()
    assert (drained.sent, drained.unreachable, drained.left) == (0, ("kafka",), {"user.registered": 1})
    with pytest.raises(UndeliveredError, match="kafka does not answer: refused"):
        drained.raise_first()


@pytest.mark.parametrize(
    ("part", "step"),
    [(Strays, "put_back"), (Relay, "step"), (Monitor, "step"), (Worker, "step"), (JobRunner, "drain")],
)
def test_a_drain_that_stands_for_longer_than_its_lease_does_all_that_is_due(
    sqlite_application: Application, monkeypatch: pytest.MonkeyPatch, part: type, step: str
) -> None:
    """As on a machine that is busy, or sleeps: who looks without its shards finds nothing."""
    outbox, ran, pauses = sqlite_application.outbox, list[int](), iter([1.0])
    outbox.task("work")(lambda: None)
    enqueue(sqlite_application, "work", {}, {})
    with sqlite_application.session() as session, session.begin():
        outbox.publish(session, "user.registered", {})
    go_on = getattr(part, step)

    def stand(*given: Any) -> Any:
        time.sleep(next(pauses, 0))
        return go_on(*given)

    monkeypatch.setattr(part, step, stand)
    job = SimpleJob("job", lambda context: ran.append(context.sharding_item), cron="0 0 1 1 *", sharding_total_count=2)
    options: dict[str, Any] = {"lease_seconds": 0.6, "heartbeat_seconds": 0.2}
    publishers = {"kafka": MemoryPublisher()}
    drained = Scheduler(sqlite_application.engine, outbox, publishers, jobs=[job], **options).drain()
    assert (drained.sent, drained.done, drained.left, sorted(ran)) == (1, 2, {}, [0, 1])


@pytest.mark.parametrize("publishers", [{}, {"kafka": MemoryPublisher()}], ids=["without publishers", "with one"])
def test_a_scheduler_that_declares_no_type_tells_of_those_that_wait(
    sqlite_application: Application, publishers: dict[str, Publisher]
) -> None:
    enqueued, signals = sqlite_application.outbox, Signals()
    enqueued.task("coupon")
    enqueue(sqlite_application, "coupon", {})
    with sqlite_application.session() as session, session.begin():
        enqueued.publish(session, "user.registered", {})
    with Scheduler(sqlite_application.engine, Outbox(MetaData()), publishers, hooks=[signals]):
        signals.wait_for(UnknownTypeSeen, lambda event: event.task_type == "coupon")
        signals.wait_for(UnknownTypeSeen, lambda event: event.task_type == "user.registered")
