from __future__ import annotations

import logging
import subprocess
import sys
import threading
import uuid
from datetime import datetime, timezone

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError

from asyncflow import RejectTask, events
from asyncflow.event_log import EventLog, LoggedHooks
from asyncflow.events import Event, Hooks
from asyncflow.integrations.logging import LoggingHook, level_of, line_of

ID = uuid.UUID("0190a5b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b")
FAULT = ValueError("no\nsuch thing")

CASES: list[tuple[Event, int, str]] = [
    (
        events.TaskEnqueued(ID, "coupon", "A 1"),
        logging.DEBUG,
        f"TaskEnqueued task_id={ID} task_type=coupon key='A 1'",
    ),
    (
        events.PageFetched("kafka", 2, 10, 0.00149),
        logging.DEBUG,
        "PageFetched destination=kafka pages=2 tasks=10 seconds=0.001",
    ),
    (
        events.TasksPublished("kafka", 10, 9, 0.5),
        logging.DEBUG,
        "TasksPublished destination=kafka tasks=10 sent=9 seconds=0.500",
    ),
    (
        events.AttemptFailed(ID, "coupon", None, 2, 6, 2.0, FAULT),
        logging.WARNING,
        f"AttemptFailed task_id={ID} task_type=coupon attempt=2 attempts=6 delay_seconds=2.000 "
        f"error='ValueError: no such thing'",
    ),
    (
        events.BuilderFailed("coupon", 3, FAULT),
        logging.WARNING,
        "BuilderFailed task_type=coupon tasks=3 error='ValueError: no such thing'",
    ),
    (
        events.PublisherFailed("kafka", 3, FAULT),
        logging.WARNING,
        "PublisherFailed destination=kafka records=3 error='ValueError: no such thing'",
    ),
    (
        events.TaskRetried(ID, "coupon", 1, 2.0, "broker busy"),
        logging.WARNING,
        f"TaskRetried task_id={ID} task_type=coupon retry_count=1 delay_seconds=2.000 error='broker busy'",
    ),
    (
        events.TaskFailed(ID, "coupon", 3, ""),
        logging.ERROR,
        f"TaskFailed task_id={ID} task_type=coupon retry_count=3",
    ),
    (
        events.TasksSettled("kafka", 9, 1, 0, 0.25),
        logging.DEBUG,
        "TasksSettled destination=kafka succeeded=9 retried=1 failed=0 seconds=0.250 cancelled=0",
    ),
    (
        events.PeriodicTasksEnqueued("nightly", "close_books", datetime(2026, 3, 1, 3, tzinfo=timezone.utc), 2),
        logging.INFO,
        "PeriodicTasksEnqueued name=nightly task_type=close_books due_time=2026-03-01T03:00:00+00:00 tasks=2",
    ),
    (
        events.ClaimsRanOut("issue_coupon", 2, 1),
        logging.WARNING,
        "ClaimsRanOut task_type=issue_coupon given_back=2 failed=1",
    ),
    (
        events.HandlerFailedLate(ID, "mail", ValueError("x")),
        logging.WARNING,
        f"HandlerFailedLate task_id={ID} task_type=mail error='ValueError: x'",
    ),
    (events.RowsLocked("kafka", 3), logging.WARNING, "RowsLocked destination=kafka tasks=3"),
    (events.AttemptsRefunded("coupon", 2), logging.WARNING, "AttemptsRefunded task_type=coupon tasks=2"),
    (events.SettleFenced("kafka", 3), logging.WARNING, "SettleFenced destination=kafka tasks=3"),
    (
        events.BreakerChanged("kafka", "open", 1.0, "refused\nby:broker"),
        logging.WARNING,
        r"BreakerChanged destination=kafka state=open retry_in_seconds=1.000 error='refused\nby:broker'",
    ),
    (
        events.BreakerChanged("kafka", "closed", 0.0, "", "coupons"),
        logging.INFO,
        "BreakerChanged destination=kafka state=closed retry_in_seconds=0.000 topic=coupons",
    ),
    (
        events.OwnershipChanged("outbox", "host:1", tuple(range(64)), ()),
        logging.INFO,
        "OwnershipChanged job=outbox owner=host:1 shards=64-of-them",
    ),
    (
        events.OwnershipChanged("outbox", "host:1", (), (1, 2)),
        logging.WARNING,
        "OwnershipChanged job=outbox owner=host:1 lost=1,2",
    ),
    (
        events.ShardsHandedOver("outbox", "host:2", (1, 2)),
        logging.INFO,
        "ShardsHandedOver job=outbox successor=host:2 shards=1,2",
    ),
    (
        events.MembersChanged("outbox", ("host:1", "host:2")),
        logging.INFO,
        "MembersChanged job=outbox members=host:1,host:2",
    ),
    (
        events.JobItemFinished("send", 1, 3, 0.5),
        logging.DEBUG,
        "JobItemFinished job=send item=1 batches=3 seconds=0.500",
    ),
    (
        events.JobFailed("send", 1, FAULT, 0.1),
        logging.WARNING,
        "JobFailed job=send item=1 error='ValueError: no such thing' pause_seconds=0.100",
    ),
    (events.JobFailedOver("send", 1), logging.WARNING, "JobFailedOver job=send item=1"),
    (events.JobFenced("send", 1), logging.WARNING, "JobFenced job=send item=1"),
    (events.JobStopped("send", FAULT), logging.ERROR, "JobStopped job=send error='ValueError: no such thing'"),
    (events.UnknownTypeSeen("points"), logging.WARNING, "UnknownTypeSeen task_type=points"),
    (events.MissingTopicSeen("coupons"), logging.WARNING, "MissingTopicSeen topic=coupons"),
    (
        events.ConsumerStarted(("coupons",), ("points.count", "record_coupon")),
        logging.INFO,
        "ConsumerStarted topics=coupons subscribers=points.count,record_coupon",
    ),
    (events.ConsumerStopped(("coupons",)), logging.INFO, "ConsumerStopped topics=coupons"),
    (
        events.UntakenMessageSeen("points", "coupons"),
        logging.WARNING,
        "UntakenMessageSeen task_type=points topic=coupons",
    ),
    (
        events.ConfigurationChanged("render", (("limit", 50),)),
        logging.INFO,
        "ConfigurationChanged task_type=render options=limit:50",
    ),
    (
        events.ConfigurationIgnored("render", "limit is 0"),
        logging.WARNING,
        "ConfigurationIgnored task_type=render error='limit is 0'",
    ),
    (events.TasksChanged("replay", "ann", 3), logging.INFO, "TasksChanged action=replay actor=ann tasks=3"),
    (events.AuditEntriesDeleted(500), logging.DEBUG, "AuditEntriesDeleted rows=500"),
    (events.SettledRowsDeleted(2, 500), logging.DEBUG, "SettledRowsDeleted status=2 rows=500"),
    (events.TasksRolledOver("t_1", 500), logging.DEBUG, "TasksRolledOver table=t_1 rows=500"),
    (events.NumberedTableClosed("t_1", 9, "t_2"), logging.INFO, "NumberedTableClosed table=t_1 rows=9 following=t_2"),
    (events.NumberedTableDropped("t_1", 9), logging.INFO, "NumberedTableDropped table=t_1 rows=9"),
    (events.RollOverHeldUp("t_1", "denied"), logging.WARNING, "RollOverHeldUp table=t_1 reason=denied"),
    (events.RollOverGoesOn("t_1"), logging.INFO, "RollOverGoesOn table=t_1"),
    (events.ArchiveHeldUp("/a", "full"), logging.WARNING, "ArchiveHeldUp directory=/a reason=full"),
    (events.ArchiveGoesOn("/a"), logging.INFO, "ArchiveGoesOn directory=/a"),
    (events.RowsPutBack("moved", 40, 2), logging.INFO, "RowsPutBack task_type=moved rows=40 keys=2"),
    (events.RowsPutInOrder("moved", 40), logging.INFO, "RowsPutInOrder task_type=moved rows=40"),
    (
        events.InboxEntriesDeleted("asyncflow_inbox", 500),
        logging.DEBUG,
        "InboxEntriesDeleted table=asyncflow_inbox rows=500",
    ),
    (events.IdempotencyKeysForgotten(500), logging.DEBUG, "IdempotencyKeysForgotten keys=500"),
    (events.TickMisfired("relay"), logging.DEBUG, "TickMisfired loop=relay"),
    (
        events.StepFailed("relay", FAULT, 0.1),
        logging.WARNING,
        "StepFailed loop=relay error='ValueError: no such thing' pause_seconds=0.100",
    ),
    (events.StepRecovered("relay", 3), logging.INFO, "StepRecovered loop=relay failures=3"),
    (events.LoopRestarted("metronome"), logging.WARNING, "LoopRestarted loop=metronome"),
    (
        events.SchedulerStarted("host:1", 0, 3),
        logging.INFO,
        "SchedulerStarted owner=host:1 instance_index=0 instance_count=3",
    ),
    (events.SchedulerStopped("host:1", True), logging.INFO, "SchedulerStopped owner=host:1 clean=True"),
    (events.SchedulerStopped("host:1", False), logging.WARNING, "SchedulerStopped owner=host:1 clean=False"),
    (
        events.WorkerStarted("host:1", "http://tasks", ("coupon",)),
        logging.INFO,
        "WorkerStarted worker=host:1 server=http://tasks task_types=coupon",
    ),
    (events.WorkerStopped("host:1", True), logging.INFO, "WorkerStopped worker=host:1 clean=True"),
    (events.WorkerStopped("host:1", False), logging.WARNING, "WorkerStopped worker=host:1 clean=False"),
]


@pytest.mark.parametrize(("event", "level", "fields"), CASES, ids=lambda case: type(case).__name__)
def test_an_event_is_a_sentence_with_its_fields_on_one_line_at_its_level(event: Event, level: int, fields: str) -> None:
    line = line_of(event)
    assert level_of(event) == level
    assert line.endswith(f" [{fields}]")
    assert "\n" not in line
    sentence = line.removesuffix(f" [{fields}]")
    assert sentence[0].isupper()
    assert len(sentence.split()) >= 3
    assert sentence != "Something happened"


@pytest.mark.parametrize("character", [*"\x1b\n\x9b\u202e\x7f"])
def test_nothing_in_a_line_is_acted_on_by_a_terminal(character: str) -> None:
    name = f"mail{character}forged"
    for event in (
        events.WorkerStarted("host:1", "http://tasks", (name,)),
        events.UnknownTypeSeen(name),
        events.StepFailed(name, ValueError(name), 0.1),
    ):
        line = line_of(event)
        assert line.isprintable()
        assert "forged" in line


def test_every_event_has_a_line() -> None:
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
    assert {type(event) for event, _, _ in CASES} == set(kinds) - {Event}


def written(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what this thread has logged: one that an earlier test has left may log at any time."""
    return [record for record in caplog.records if record.thread == threading.get_ident()]


@pytest.mark.parametrize(("event", "level", "fields"), CASES, ids=lambda case: type(case).__name__)
def test_the_log_writes_it_with_the_event_attached(
    event: Event, level: int, fields: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "asyncflow"):
        EventLog()(event)
    (record,) = written(caplog)
    if isinstance(event, events.AttemptFailed | events.HandlerFailedLate):
        assert record.name == f"asyncflow.tasks.{event.task_type}"
    else:
        assert record.name == "asyncflow"
    assert (record.levelno, record.getMessage()) == (level, line_of(event))
    assert record.event is event  # type: ignore[attr-defined]


def test_a_quiet_logger_is_not_disturbed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "asyncflow"):
        LoggingHook()(events.PageFetched("kafka", 1, 1, 0.1))
    assert written(caplog) == []


def test_what_happens_all_the_time_is_logged_as_long_as_debug_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    hooks, event = LoggedHooks(), events.PageFetched("kafka", 1, 1, 0.1)
    for level in (logging.INFO, logging.DEBUG, logging.INFO):
        with caplog.at_level(level, "asyncflow"):
            hooks.emit(event)
    assert [record.levelname for record in written(caplog)] == ["DEBUG"]


def test_another_logger_can_be_given(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "shop.outbox"):
        LoggingHook(logging.getLogger("shop.outbox"))(events.SchedulerStarted("host:1", 0, 1))
    assert [record.name for record in written(caplog)] == ["shop.outbox"]


def test_a_fault_in_the_code_comes_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    LoggingHook()(events.StepFailed("relay", FAULT, 0.1))
    (record,) = written(caplog)
    assert record.exc_info is not None
    assert record.exc_info[1] is FAULT


def test_a_database_that_is_away_comes_without_one(caplog: pytest.LogCaptureFixture) -> None:
    away = OperationalError("SELECT 1", {}, Exception("server has gone away"))
    LoggingHook()(events.StepFailed("relay", away, 0.1))
    assert not written(caplog)[0].exc_info
    assert "gone away" in caplog.text


def test_a_failed_attempt_is_told_once_and_its_retry_of_a_message_as_well(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog()
    log(events.AttemptFailed(ID, "coupon", None, 1, 6, 2.0, FAULT))
    log(events.TaskRetried(ID, "coupon", 1, 2.0, "ValueError: no such thing"))
    log(events.TaskRetried(ID, "coupon", 2, 2.0, "the broker is busy"))
    assert [record.levelname for record in written(caplog) if record.levelno >= logging.WARNING] == ["WARNING"] * 2
    assert "Attempt 1 of 6 failed, the next in 2.0 s" in caplog.text
    assert "the broker is busy" in caplog.text


def test_of_a_crowd_of_retries_as_many_are_told_as_a_person_reads(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog()
    for number in range(500):
        log(events.TaskRetried(uuid.uuid4(), "coupon", number, 2.0, "the broker is busy"))
    log(events.TaskRetried(uuid.uuid4(), "invoice", 1, 2.0, "the broker is busy"))
    told = [record for record in written(caplog) if record.levelno == logging.WARNING]
    assert 100 <= len(told) < 500
    assert any("there are more of this type than are told" in record.getMessage() for record in told)
    assert "task_type=invoice" in told[-1].getMessage()


def test_what_a_handler_says_on_purpose_has_no_traceback_but_its_cause_has(caplog: pytest.LogCaptureFixture) -> None:
    log, signal = EventLog(), RejectTask("no such account")
    log(events.AttemptFailed(ID, "coupon", None, 1, 6, None, signal))
    assert not written(caplog)[-1].exc_info
    signal.__cause__ = FAULT
    log(events.AttemptFailed(ID, "coupon", None, 1, 6, None, signal))
    assert written(caplog)[-1].exc_info


def test_hooks_have_one_log_the_users_or_our_own(caplog: pytest.LogCaptureFixture) -> None:
    for hooks in (LoggedHooks(), LoggedHooks([LoggingHook()])):
        caplog.clear()
        hooks.emit(events.LoopRestarted("relay"))
        assert len(written(caplog)) == 1
    hooks = LoggedHooks()
    hooks.add(LoggingHook(logging.getLogger("shop")))
    caplog.clear()
    hooks.emit(events.LoopRestarted("relay"))
    assert [record.name for record in written(caplog)] == ["shop"]


def _raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        raise error from cause
    except Exception as raised:  # noqa: BLE001 - any
        return raised


def _sql() -> Exception:
    return IntegrityError("INSERT INTO users VALUES (?)", ["the-" + "secret"], Exception("no"))


@pytest.mark.parametrize(
    "error",
    [
        _raised(_sql()),
        _raised(LookupError("no user"), _sql()),
        _raised(RejectTask("no user"), _sql()),
        _raised(LookupError("no user"), _raised(LookupError("deep down"), _sql())),
    ],
    ids=["itself", "as a cause", "as the cause of a signal", "as the cause of a cause"],
)
def test_no_traceback_tells_parameters_of_sql(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    EventLog()(events.AttemptFailed(ID, "coupon", None, 1, 6, None, error))

    def failing_hook(_: events.Event) -> None:
        raise error

    Hooks([failing_hook]).emit(events.LoopRestarted("relay"))
    assert caplog.text.count("Traceback") >= 2
    assert caplog.text.count("INSERT INTO users") >= 2
    assert "the-secret" not in caplog.text


def test_an_error_of_sql_is_told_without_its_parameters() -> None:
    error = OperationalError("UPDATE users SET name = ?", ("the-secret",), Exception("no"))
    line = line_of(events.AttemptFailed(ID, "coupon", None, 2, 6, 2.0, error))
    assert "UPDATE users" in line
    assert "the-secret" not in line


# -- inside a web server ----------------------------------------------------------------------------------

UVICORN = "import uvicorn; uvicorn.Config(None)"
GUNICORN = "from gunicorn.config import Config; from gunicorn.glogging import Logger; Logger(Config())"
PROGRAM = """
import logging
from asyncflow import events
from asyncflow.event_log import EventLog
log = EventLog()
log(events.SchedulerStarted("host:1", 0, 1))
log(events.UnknownTypeSeen("coupon"))
"""


@pytest.mark.parametrize("server", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
@pytest.mark.parametrize(
    ("set_up", "lines"),
    [
        ("", 1),
        ("import logging; logging.basicConfig(level='INFO')", 1),
        ("import logging; logging.basicConfig(level='WARNING')", 0),
        ("import logging; logging.getLogger('asyncflow').setLevel('WARNING')", 0),
    ],
    ids=["nobody", "info", "warning", "ours"],
)
def test_the_start_is_told_in_the_server_s_log_where_nobody_has_set_up_logging(
    server: str, set_up: str, lines: int
) -> None:
    program = "\n".join([server, set_up, PROGRAM])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout + done.stderr).count("SchedulerStarted owner=host:1") == lines, done.stderr
    assert "coupon" in done.stderr, "a warning is seen in any case"
