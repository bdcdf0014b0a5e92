"""Every option of a job does something."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update

from asyncflow import DataflowJob, JobSettings, Scheduler, ShardingContext, SimpleJob, events
from asyncflow.errors import OptionError, UnknownOptionError
from asyncflow.scheduler.jobs.sources import options_from_environment, options_from_toml
from tests.integration.scheduler.publishers import LONG
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

NEVER = 86400.0  # seconds between two ticks: the test gives them itself


class Noted:
    """Keep the contexts that a job's code was called with."""

    def __init__(self, work: Callable[[ShardingContext], None] = lambda _: None) -> None:
        self.contexts: list[ShardingContext] = []
        self._work = work

    def __call__(self, context: ShardingContext) -> None:
        self.contexts.append(context)
        self._work(context)

    @property
    def items(self) -> list[int]:
        return sorted(context.sharding_item for context in self.contexts)


class Stream(DataflowJob[ShardingContext, list[int]]):
    """Process rows that are numbers, so many for each item; refuse those that ``refuse`` names, once."""

    def __init__(self, name: str, rows: int, *, refuse: set[int] = frozenset(), **options: Any) -> None:  # type: ignore[assignment]
        super().__init__(name, **options)
        self.done: list[tuple[int, int]] = []
        self._rows = rows
        self._left: dict[int, list[int]] = {}
        self._refuse = set(refuse)

    def fetch_data(self, context: ShardingContext) -> list[int]:
        return self._left.setdefault(context.sharding_item, list(range(self._rows)))[:1]

    def process_data(self, context: ShardingContext, data: list[int]) -> None:
        if data[0] in self._refuse:
            self._refuse.discard(data[0])
            raise RuntimeError("not this one")
        self.done.append((context.sharding_item, data[0]))
        self._left[context.sharding_item].pop(0)


def tick(scheduler: Scheduler) -> None:
    """Tick for the only job, as soon as it knows its items."""
    (runner,) = scheduler.machinery.staff.roster.runners
    eventually(runner.board.places)
    runner.tick()


@pytest.fixture
def application(sqlite_application: Application) -> Application:
    return sqlite_application


@pytest.fixture
def schedulers(application: Application) -> Iterator[Callable[..., Scheduler]]:
    made: list[Scheduler] = []

    def make(*jobs: Any, **options: Any) -> Scheduler:
        made.append(application.scheduler(jobs=jobs, heartbeat_seconds=0.05, lease_seconds=600.0, **options))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.stop(10)


Make = Callable[..., Scheduler]


def drained(make: Make, *jobs: Any) -> None:
    scheduler = make(*jobs)
    scheduler.drain()
    scheduler.stop()


# -- each option -----------------------------------------------------------------------------------------


def test_cron_ticks_by_seconds_or_by_a_crontab_line_with_seconds(application: Application, schedulers: Make) -> None:
    called = [threading.Event(), threading.Event()]
    jobs = [
        SimpleJob("often", lambda _: called[0].set(), cron=0.05),
        SimpleJob("each-second", lambda _: called[1].set(), cron="* * * * * *"),
    ]
    with schedulers(*jobs):
        assert all(one.wait(LONG) for one in called)


def test_timezone_is_the_one_in_which_a_crontab_line_is_meant(application: Application, schedulers: Make) -> None:
    ahead, behind = threading.Event(), threading.Event()
    hour = datetime.now(ZoneInfo("Pacific/Kiritimati")).hour
    line = f"* * {hour},{(hour + 1) % 24} * * *"
    jobs = [
        SimpleJob("ahead", lambda _: ahead.set(), cron=line, timezone="Pacific/Kiritimati"),
        SimpleJob("behind", lambda _: behind.set(), cron=line, timezone="UTC"),  # 14 hours
    ]
    with schedulers(*jobs):
        assert ahead.wait(LONG)
    assert not behind.is_set()


def test_sharding_total_count_is_the_number_of_items(schedulers: Make) -> None:
    noted = Noted()
    drained(schedulers, SimpleJob("job", noted, cron=NEVER, sharding_total_count=5))
    assert noted.items == [0, 1, 2, 3, 4]
    assert {context.sharding_total_count for context in noted.contexts} == {5}


def test_sharding_item_parameters_reach_their_items_verbatim(schedulers: Make) -> None:
    noted = Noted()
    drained(
        schedulers,
        SimpleJob("job", noted, cron=NEVER, sharding_total_count=3, sharding_item_parameters="0=north,2= a=b"),
    )
    assert {c.sharding_item: c.sharding_parameter for c in noted.contexts} == {0: "north", 1: "", 2: " a=b"}


def test_job_parameter_reaches_every_item(schedulers: Make) -> None:
    noted = Noted()
    drained(schedulers, SimpleJob("job", noted, cron=NEVER, sharding_total_count=2, job_parameter="daily"))
    assert [context.job_parameter for context in noted.contexts] == ["daily", "daily"]


@pytest.mark.parametrize(("streaming", "done"), [(False, 1), (True, 4)])
def test_streaming_process_fetches_until_nothing_is_left(streaming: bool, done: int, schedulers: Make) -> None:
    job = Stream("job", 4, cron=NEVER, streaming_process=streaming)
    drained(schedulers, job)
    assert len(job.done) == done


def test_items_of_a_stream_take_turns(schedulers: Make) -> None:
    job = Stream("job", 3, cron=NEVER, streaming_process=True, sharding_total_count=3)
    drained(schedulers, job)
    assert [item for item, _ in job.done] == [0, 1, 2] * 3


def test_an_error_does_not_end_a_stream(application: Application, schedulers: Make) -> None:
    job = Stream("job", 3, refuse={1}, cron=NEVER, streaming_process=True)
    scheduler = schedulers(job)
    scheduler.start()
    tick(scheduler)
    application.signals.wait_for(events.JobItemFinished, lambda event: event.job == "job")
    assert job.done == [(0, 0), (0, 1), (0, 2)]
    assert [str(event.error) for event in application.signals.of(events.JobFailed)] == ["not this one"]


@pytest.mark.parametrize(("misfire", "runs"), [(True, 2), (False, 1)])
def test_misfire_gives_exactly_one_further_run_for_ticks_that_came_too_early(
    misfire: bool, runs: int, application: Application, schedulers: Make
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(_: ShardingContext) -> None:
        begun.set()
        assert go_on.wait(LONG)

    noted = Noted(work)
    scheduler = schedulers(SimpleJob("job", noted, cron=NEVER, misfire=misfire))
    scheduler.start()
    (runner,) = scheduler.machinery.staff.roster.runners
    tick(scheduler)
    assert begun.wait(LONG)
    for _ in range(3):
        runner.tick()
    go_on.set()
    eventually(lambda: len(application.signals.of(events.JobItemFinished)) >= runs)
    scheduler.stop()
    assert len(noted.contexts) == runs
    assert runner.board.misfired == (1 if misfire else 0)


@pytest.mark.parametrize("monitored", [True, False])
def test_monitor_execution_marks_what_runs(monitored: bool, application: Application, schedulers: Make) -> None:
    shards = application.outbox.shards
    marks: list[bool] = []

    def look(_: ShardingContext) -> None:
        marks.extend(row.running for row in application.rows(select(shards).where(shards.c.job == "job")))

    drained(schedulers, SimpleJob("job", Noted(look), cron=NEVER, monitor_execution=monitored))
    assert marks == [monitored]
    assert [row.running for row in application.rows(select(shards).where(shards.c.job == "job"))] == [False]


@pytest.mark.parametrize("failover", [True, False])
def test_failover_runs_at_once_what_was_running_when_its_owner_ended(
    failover: bool, application: Application, schedulers: Make
) -> None:
    noted = Noted()
    drained(schedulers, SimpleJob("job", noted, cron=NEVER, failover=failover, sharding_total_count=2))
    noted.contexts.clear()
    shards = application.outbox.shards
    scheduler = schedulers(SimpleJob("job", noted, cron=NEVER, failover=failover, sharding_total_count=2))
    with application.engine.begin() as connection:
        # As a killed owner leaves it.
        its = (shards.c.job == "job", shards.c.shard == 1)
        connection.execute(update(shards).where(*its).values(running=True))
    scheduler.start()
    if failover:
        application.signals.wait_for(events.JobFailedOver, lambda event: event.item == 1)
        application.signals.wait_for(events.JobItemFinished, lambda event: event.item == 1)
    scheduler.stop()
    assert noted.items == ([1] if failover else [])


def test_max_time_diff_seconds_tells_of_a_clock_that_is_off(
    application: Application, schedulers: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncflow.scheduler.jobs.marks.Marks.seconds_off", lambda _: 12.5)
    for name, most in (("lenient", 60), ("strict", 5)):
        drained(schedulers, SimpleJob(name, Noted(), cron=NEVER, max_time_diff_seconds=most))
    (failed,) = application.signals.of(events.JobFailed)
    assert failed.job == "strict"
    assert "12.500 s from the database's" in str(failed.error)


def test_reconcile_interval_minutes_is_between_two_readings_of_who_owns_what(
    application: Application, schedulers: Make
) -> None:
    scheduler = schedulers(SimpleJob("job", Noted(), cron=NEVER, reconcile_interval_minutes=1))
    scheduler.drain()
    (runner,) = scheduler.machinery.staff.roster.runners
    readings: list[int] = []
    runner.share.refresh = lambda: readings.append(1)  # type: ignore[method-assign]
    now = runner._clock()
    for seconds in (1, 59, 61, 62, 122):
        runner._clock = lambda later=now + seconds: later  # type: ignore[misc]
        runner._reconcile()
    assert len(readings) == 2


def test_sharding_strategy_shares_the_items_out(application: Application, schedulers: Make) -> None:
    jobs = [Noted(), Noted()]
    running = [
        schedulers(SimpleJob("job", noted, cron=0.05, sharding_total_count=4, sharding_strategy="AVG_ALLOCATION"))
        for noted in jobs
    ]
    for scheduler in running:
        scheduler.start()
    shares = sorted(scheduler.machinery.staff.roster.runners[0].share.owner for scheduler in running)
    application.signals.wait_for(
        events.OwnershipChanged, lambda event: (event.job, event.owner, event.shards) == ("job", shares[0], (0, 1))
    )
    application.signals.wait_for(
        events.OwnershipChanged, lambda event: (event.job, event.owner, event.shards) == ("job", shares[1], (2, 3))
    )


def test_error_handler_tells_ignores_stops_or_is_called(application: Application, schedulers: Make) -> None:
    def fail(_: ShardingContext) -> None:
        raise RuntimeError("broken")

    called: list[str] = []
    handlers: dict[str, Any] = {
        "log": "LOG",
        "ignore": "IGNORE",
        "throw": "THROW",
        "own": lambda context, error: called.append(f"{context.job_name}: {error}"),
    }
    with schedulers(*(SimpleJob(name, fail, cron=0.05, error_handler=handler) for name, handler in handlers.items())):
        stopped = application.signals.wait_for(events.JobStopped)
        application.signals.wait_for(events.JobFailed, lambda event: event.job == "log")
        application.signals.wait_for(events.JobItemFinished, lambda event: event.job == "own")
        application.signals.wait_for(events.JobItemFinished, lambda event: event.job == "ignore")
    assert stopped.job == "throw"
    assert {event.job for event in application.signals.of(events.JobFailed)} == {"log", "throw"}
    assert called[0] == "own: broken"


def test_listeners_are_called_in_order_and_back(schedulers: Make) -> None:
    calls: list[str] = []

    class Listener:
        def __init__(self, name: str) -> None:
            self.name = name

        def before(self, context: ShardingContext) -> None:
            calls.append(f"before {self.name}")

        def after(self, context: ShardingContext) -> None:
            calls.append(f"after {self.name}")

    job = SimpleJob("job", lambda _: calls.append("work"), cron=NEVER, listeners=[Listener("a"), Listener("b")])
    drained(schedulers, job)
    assert calls == ["before a", "before b", "work", "after b", "after a"]


def is_of(item: int, event: events.JobItemFinished) -> bool:
    return event.item == item


@pytest.mark.parametrize(("threads", "most"), [(1, 1), (3, 3)])
def test_thread_count_bounds_the_items_at_work(
    threads: int, most: int, application: Application, schedulers: Make
) -> None:
    inside, peaks, lock = [0], [0], threading.Lock()
    full = threading.Event()

    def work(_: ShardingContext) -> None:
        with lock:
            inside[0] += 1
            peaks[0] = max(peaks[0], inside[0])
            if inside[0] == most:
                full.set()
        assert full.wait(LONG)
        with lock:
            inside[0] -= 1

    scheduler = schedulers(SimpleJob("job", work, cron=NEVER, sharding_total_count=6, thread_count=threads))
    scheduler.start()
    tick(scheduler)
    for item in range(6):
        application.signals.wait_for(events.JobItemFinished, partial(is_of, item))
    assert peaks[0] == most


def test_disabled_jobs_and_items_do_not_run_until_they_are_switched_on(
    application: Application, schedulers: Make
) -> None:
    noted = Noted()
    options: dict[str, Any] = {"cron": NEVER, "sharding_total_count": 2, "disabled": True}
    drained(schedulers, SimpleJob("job", noted, **options))
    assert noted.items == []
    jobs, shards = application.outbox.jobs, application.outbox.shards
    with application.engine.begin() as connection:
        connection.execute(update(jobs).values(disabled=False))
        connection.execute(update(shards).where(shards.c.job == "job", shards.c.shard == 0).values(disabled=True))
    drained(schedulers, SimpleJob("job", noted, **options))
    assert noted.items == [1]


def test_overwrite_replaces_what_is_recorded_which_wins_otherwise(schedulers: Make) -> None:
    noted = Noted()
    for parameter, overwrite in (("first", False), ("second", False), ("third", True), ("fourth", False)):
        drained(schedulers, SimpleJob("job", noted, cron=NEVER, job_parameter=parameter, overwrite=overwrite))
    assert [context.job_parameter for context in noted.contexts] == ["first", "first", "third", "third"]


@pytest.mark.parametrize("count", [2, 5])
def test_overwrite_changes_the_number_of_items(count: int, schedulers: Make) -> None:
    noted = Noted()
    drained(schedulers, SimpleJob("job", Noted(), cron=NEVER, sharding_total_count=3))
    drained(schedulers, SimpleJob("job", noted, cron=NEVER, sharding_total_count=count, overwrite=True))
    assert noted.items == list(range(count))


def test_description_is_recorded_for_people(application: Application, schedulers: Make) -> None:
    drained(schedulers, SimpleJob("job", Noted(), cron=NEVER, description="sends what is to be sent"))
    (row,) = application.rows(select(application.outbox.jobs))
    assert "sends what is to be sent" in row.config


# -- sources ---------------------------------------------------------------------------------------------

TOML = """
[jobs.send-records]
cron = "*/5 * * * * *"
sharding_total_count = 3
streaming_process = true
max_time_diff_seconds = 2.5
sharding_item_parameters = "0=a,1=b"
listeners = ["tests.integration.scheduler.jobs.test_job_options:LISTENER"]
"""
ENVIRONMENT = {
    "ASYNCFLOW_JOB_SEND_RECORDS_CRON": "*/5 * * * * *",
    "ASYNCFLOW_JOB_SEND_RECORDS_SHARDING_TOTAL_COUNT": "3",
    "ASYNCFLOW_JOB_SEND_RECORDS_STREAMING_PROCESS": "on",
    "ASYNCFLOW_JOB_SEND_RECORDS_MAX_TIME_DIFF_SECONDS": "2.5",
    "ASYNCFLOW_JOB_SEND_RECORDS_SHARDING_ITEM_PARAMETERS": "0=a,1=b",
    "ASYNCFLOW_JOB_SEND_RECORDS_LISTENERS": "tests.integration.scheduler.jobs.test_job_options:LISTENER",
}


class Silent:
    def before(self, context: Any) -> None: ...

    def after(self, context: Any) -> None: ...


LISTENER = Silent()


def test_python_toml_and_the_environment_agree(tmp_path: Any) -> None:
    file = tmp_path / "jobs.toml"
    file.write_text(TOML)
    from_toml = JobSettings.of(**options_from_toml(file)["send-records"])
    from_environment = JobSettings.of(**options_from_environment("send-records", ENVIRONMENT))
    from_python = JobSettings(
        cron="*/5 * * * * *",
        sharding_total_count=3,
        streaming_process=True,
        max_time_diff_seconds=2.5,
        sharding_item_parameters="0=a,1=b",
        listeners=["tests.integration.scheduler.jobs.test_job_options:LISTENER"],
    )
    assert from_toml == from_environment == from_python


def test_options_of_a_source_lie_over_those_of_the_code(schedulers: Make) -> None:
    noted = Noted()
    scheduler = schedulers(SimpleJob("job", noted, cron=NEVER, job_parameter="code"))
    scheduler.configure_jobs({"job": {"job_parameter": "file"}})
    scheduler.drain()
    assert [context.job_parameter for context in noted.contexts] == ["file"]
    with pytest.raises(UnknownOptionError, match=r"no option 'jop' \(did you mean 'job'\?\)"):
        scheduler.configure_jobs({"jop": {}})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[jobs.a]\nkron = 5", r"no option 'kron' \(did you mean 'cron'\?\)"),
        ("jobs = 3", "write tables such as"),
        ("[jobs", "is no TOML"),
        ("[jobs.büro]", r"jobs\.toml' is no UTF-8: .*byte 7; save it as UTF-8"),
    ],
)
def test_a_file_at_fault_is_refused(text: str, fault: str, tmp_path: Any) -> None:
    file = tmp_path / "jobs.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(OptionError, match=fault):
        options_from_toml(file)


def test_a_variable_at_fault_is_refused_by_its_name() -> None:
    with pytest.raises(OptionError, match=r"ASYNCFLOW_JOB_A_MISFIRE is 'maybe'; give true or false"):
        options_from_environment("a", {"ASYNCFLOW_JOB_A_MISFIRE": "maybe"})


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"cron": "* *"}, "cron is '\\* \\*', of 2 fields"),
        ({"sharding_total_count": 0}, "sharding_total_count is 0"),
        ({"sharding_item_parameters": "7=x"}, "'7=x' is at fault"),
        ({"failover": True, "monitor_execution": False}, "failover needs it"),
        ({"sharding_strategy": "AVG"}, "sharding_strategy is 'AVG'"),
        ({"error_handler": "LOGG"}, "did you mean 'LOG'"),
        ({"listeners": [3]}, "listeners holds 3"),
        ({"thread_count": 0}, "thread_count is 0"),
        ({"streaming_process": True}, "write a DataflowJob"),
        ({"job_paramter": "x"}, "did you mean 'job_parameter'"),
    ],
)
def test_an_option_at_fault_is_refused_by_its_name(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(OptionError, match=fault):
        SimpleJob("job", lambda _: None, **{"cron": NEVER, **options})


def test_two_jobs_of_one_name_and_what_is_no_job_are_refused(application: Application) -> None:
    job = SimpleJob("job", lambda _: None, cron=NEVER)
    with pytest.raises(OptionError, match="two of the name 'job'"):
        application.scheduler(jobs=[job, job])
    with pytest.raises(OptionError, match="jobs holds 3"):
        application.scheduler(jobs=[3])


def test_every_option_has_a_test_that_names_it() -> None:
    tests = " ".join(name for name in globals() if name.startswith("test_"))
    names = {"cron": "cron_ticks", "disabled": "disabled_jobs"}
    missing = [field.name for field in fields(JobSettings) if names.get(field.name, field.name) not in tests]
    assert missing == []
    assert [field.name for field in fields(JobSettings) if field.default is MISSING] == ["cron"]
