"""The command line in processes of its own, against each database."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import URL, Engine, inspect, make_url, text, update

from asyncflow import Status, cli
from tests.integration.scheduler.writing import alter, publish, publish_many
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually

LONG = 150.0
NAMES = (
    "task",
    "shard",
    "instance",
    "parked_key",
    "job",
    "dedupe",
    "periodic",
    "schedule_cfg",
    "audit",
    "context",
    "turn",
    "chart",
    "unique",
)
TABLES = tuple(f"asyncflow_{name}" for name in NAMES)
ASYNCFLOW = str(Path(sys.executable).with_name("asyncflow"))

WIRING = """
import os, sys, threading
from pathlib import Path
from sqlalchemy import MetaData, create_engine
from asyncflow import Outbox, Scheduler
from asyncflow.testing import MemoryPublisher

outbox = Outbox(MetaData())
outbox.message("user.registered")
{publisher}
scheduler = Scheduler(create_engine({url!r}), outbox, {{"kafka": Publisher()}}, lease_seconds=60.0)
"""
PLAIN = "Publisher = MemoryPublisher"
SLOW = """
class Publisher(MemoryPublisher):
    "Tell that a batch is inside, and wait until a line is read from standard input."
    def publish(self, batch):
        print("inside", flush=True)
        sys.stdin.readline()
        return super().publish(batch)
"""

Start = Callable[..., subprocess.Popen[str]]


def plain(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start ``asyncflow run wiring:scheduler``; end it with the test."""
    processes: list[subprocess.Popen[str]] = []

    def begin(url: URL, publisher: str = PLAIN) -> subprocess.Popen[str]:
        (tmp_path / "wiring.py").write_text(WIRING.format(url=plain(url), publisher=publisher))
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [ASYNCFLOW, "run", "wiring:scheduler"], cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate(timeout=LONG)


class Done(NamedTuple):
    """Hold what a command left."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command that ends by itself, in this process: a process of its own would take a second each."""
    monkeypatch.delenv("ASYNCFLOW_DATABASE_URL", raising=False)

    def command(*arguments: str) -> Done:
        code = cli.main(arguments)
        return Done(code, *capfd.readouterr())

    return command


def line_from(process: subprocess.Popen[str]) -> str:
    """Return the next line of standard output; ends the process if none comes."""
    assert process.stdout is not None
    guard = threading.Timer(LONG, process.kill)
    guard.start()
    line = process.stdout.readline().strip()
    guard.cancel()
    return line


def test_sigterm_ends_a_running_scheduler_with_code_0(
    application: Application, database_url: URL, start: Start
) -> None:
    publish_many(application, 20)
    process = start(database_url)
    eventually(lambda: set(application.statuses()) == {Status.SUCCESS}, LONG)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 0, errors
    assert "SchedulerStarted" in errors
    assert "clean=True" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_settles_the_work_in_hand_first(
    number: signal.Signals, sqlite_application: Application, start: Start
) -> None:
    publish(sqlite_application)
    process = start(sqlite_application.engine.url, SLOW)
    assert line_from(process) == "inside"
    process.send_signal(number)
    assert process.stdin is not None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.stdin.write("go on\n")
    process.stdin.flush()
    assert process.wait(LONG) == 0
    assert sqlite_application.statuses() == [Status.SUCCESS]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once_and_loses_nothing(
    second: signal.Signals, sqlite_application: Application, start: Start
) -> None:
    publish(sqlite_application)
    process = start(sqlite_application.engine.url, SLOW)
    assert line_from(process) == "inside"
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(second)
    while process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(second)  # where it had not heard of the first one
    assert process.wait(LONG) == -second
    assert sqlite_application.statuses() == [Status.PENDING]


def test_run_without_tables_says_how_to_make_them(sqlite_engine: Engine, start: Start) -> None:
    process = start(sqlite_engine.url)
    _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert_one_line(errors, "has no table asyncflow_task; run `asyncflow init-db")


UNREACHABLE = ["mysql+pymysql://user:secret@127.0.0.1:1/name", "postgresql+psycopg://user:secret@127.0.0.1:1/name"]


@pytest.mark.parametrize("url", [*UNREACHABLE, "sqlite:////no/such/directory/file.db"])
def test_an_unreachable_database_is_one_line_and_code_1(url: str, run: Run) -> None:
    for command in ("status", "init-db"):
        done = run(command, "--database-url", url)
        assert done.returncode == 1
        assert_one_line(done.stderr, "the database answered: ")


def test_run_with_a_wrong_target_is_one_line_and_code_1() -> None:
    command = [ASYNCFLOW, "run", "no_such_module:scheduler"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=False)
    assert done.returncode == 1
    assert_one_line(done.stderr, "there is no module 'no_such_module'; give module:attribute")


def test_run_with_an_unreachable_database_is_one_line_and_code_1(start: Start) -> None:
    process = start(make_url(UNREACHABLE[0]))
    _, errors = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert_one_line(errors.splitlines(keepends=True)[-1], "the database answered: ")
    assert "Traceback" not in errors


def assert_one_line(errors: str, part: str) -> None:
    assert errors.startswith("asyncflow: "), errors
    assert errors.count("\n") == 1
    assert part in errors
    assert "secret" not in errors


def test_init_db_makes_the_tables_and_hides_the_password(engine: Engine, database_url: URL, run: Run) -> None:
    for _ in range(2):
        done = run("init-db", "--database-url", plain(database_url))
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{', '.join(TABLES)}, asyncflow_inbox are in " in done.stdout
        assert database_url.password is None or f":{database_url.password}@" not in done.stdout
    assert set(inspect(engine).get_table_names()) == {*TABLES, "asyncflow_inbox"}
    assert "(no tasks)" in run("status", "--database-url", plain(database_url)).stdout


def test_init_db_takes_url_and_prefix_from_where_they_are_given(
    sqlite_engine: Engine, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCFLOW_DATABASE_URL", str(sqlite_engine.url))
    done = run("init-db", "--prefix", "shop_")
    assert done.returncode == 0
    assert set(inspect(sqlite_engine).get_table_names()) == {
        *(table.replace("asyncflow", "shop") for table in TABLES),
        "shop_inbox",
    }


def test_status_tells_what_waits_what_failed_and_who_owns(
    application: Application, database_url: URL, run: Run
) -> None:
    publish_many(application, 3)
    publish(application, delay_seconds=3600)
    dead = publish(application, key="A1")
    key = dead if application.engine.dialect.name == "postgresql" else dead.bytes
    alter(application, "status = 3, retry_count = 4, schedule_log = 'last error\nolder'", "id = :id", id=key)
    scheduler = application.scheduler()
    scheduler.ownership.acquire()
    done = run("status", "--database-url", plain(database_url))
    assert (done.returncode, done.stderr) == (0, "")
    counts = done.stdout.splitlines()[1].split()
    assert (counts[:2], counts[-3:]) == (["user.registered", "4"], ["0", "1", "0"])
    assert f"64  {scheduler.ownership.owner}" in done.stdout
    assert f"{dead}  user.registered  key=A1  attempts=4\n    last error\n" in done.stdout
    assert "olderlast" not in done.stdout
    scheduler.stop()


def test_status_tells_what_runs_since_when_and_what_was_called_off(
    application: Application, database_url: URL, run: Run
) -> None:
    publish_many(application, 4)
    ids = [row.id for row in application.rows()]
    tasks = application.outbox.tasks
    with application.engine.begin() as connection:
        for task_id, status, age in zip(ids, (1, 1, 4, 4), (90, 30, 0, 0), strict=True):
            values = {"status": status, "modified_at": timedelta(seconds=-age), "order_time": timedelta(seconds=30)}
            connection.execute(update(tasks).where(tasks.c.id == task_id).values(**values))
    done = run("status", "--database-url", plain(database_url))
    fields = done.stdout.splitlines()[1].split()
    assert (fields[0], fields[4], fields[-3:]) == ("user.registered", "2", ["0", "0", "2"])
    (told,) = json.loads(run("status", "--json", "--database-url", plain(database_url)).stdout)["types"]
    assert 89 <= told["oldest_running_seconds"] < 300


def test_status_and_init_db_take_a_scheduler(
    sqlite_engine: Engine, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wiring_of_cli_test.py").write_text(WIRING.format(url=str(sqlite_engine.url), publisher=PLAIN))
    for command in ("init-db", "status"):
        done = run(command, "wiring_of_cli_test:scheduler")
        assert (done.returncode, done.stderr) == (0, "")
    assert set(inspect(sqlite_engine).get_table_names()) == set(TABLES)


def test_reshard_takes_a_scheduler_and_tells_what_it_did(
    sqlite_engine: Engine, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    wiring = WIRING.format(url=str(sqlite_engine.url), publisher=PLAIN).replace(
        "MetaData())", "MetaData(), shard_count=8)"
    )
    (tmp_path / "wiring_of_reshard_test.py").write_text(wiring)
    before = Application(sqlite_engine)
    publish_many(before, 64)
    done = run("reshard", "wiring_of_reshard_test:scheduler")
    assert (done.returncode, done.stderr) == (0, "")
    assert "there are 8 shards now" in done.stdout
    assert {row.shard for row in before.rows()} <= set(range(8))


@pytest.mark.parametrize(
    ("text", "fault"),
    [(None, "'jobs.toml' cannot be read"), ("[jobs.none]\ncron = 5", "has no option 'none'")],
)
def test_a_configuration_at_fault_is_told_before_anything_runs(
    text: str | None, fault: str, sqlite_engine: Engine, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wiring_of_config_test.py").write_text(WIRING.format(url=str(sqlite_engine.url), publisher=PLAIN))
    if text is not None:
        (tmp_path / "jobs.toml").write_text(text)
    done = run("run", "wiring_of_config_test:scheduler", "--config", "jobs.toml")
    assert done.returncode == 1
    assert_one_line(done.stderr, fault)


def test_status_without_tables_says_how_to_make_them(sqlite_engine: Engine, run: Run) -> None:
    done = run("status", "--database-url", str(sqlite_engine.url))
    assert done.returncode == 1
    assert_one_line(done.stderr, "run `asyncflow init-db")


def test_status_changes_nothing(application: Application, database_url: URL, run: Run) -> None:
    publish_many(application, 3)
    before = application.rows()
    assert run("status", "--database-url", plain(database_url)).returncode == 0
    assert application.rows() == before
    with application.engine.connect() as connection:
        assert connection.execute(text(f"SELECT count(*) FROM {application.outbox.shards.fullname}")).scalar_one() == 0
