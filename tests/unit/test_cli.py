from __future__ import annotations

import importlib
import io
import json
import logging
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from pkgutil import walk_packages

import pytest

from asyncflow import cli, commands
from asyncflow.commands.operator import status
from asyncflow.commands.printing import PlainFormatter, tell
from asyncflow.commands.target import scheduler_at, told_driver
from asyncflow.commands.terminal import letters
from asyncflow.commands.terminal.as_json import as_json
from asyncflow.errors import OptionError
from asyncflow.scheduler.operator.report import Report, TypeReport
from asyncflow.scheduler.operator.task_view import DeadLetter
from asyncflow.scheduler.operator.type_counts import COUNT_LIMIT

WIRING = """
from sqlalchemy import create_engine, MetaData
from asyncflow import Outbox, Scheduler
from asyncflow.testing import MemoryPublisher

outbox = Outbox(MetaData())
scheduler = Scheduler(create_engine("sqlite://"), outbox, {"kafka": MemoryPublisher()})
number = 7

def make():
    return scheduler

def broken():
    return {}["ASYNCFLOW_SETTING"]

class holder:
    nested = scheduler
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty directory with a module ``wiring_<random>``; return its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("ASYNCFLOW_DATABASE_URL", raising=False)
    return tmp_path


def module(directory: Path, text: str = WIRING) -> str:
    name = f"wiring_{uuid.uuid4().hex}"
    (directory / f"{name}.py").write_text(text)
    return name


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must end with code 1 and one line; return the line."""
    assert cli.main(arguments) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("asyncflow: ")
    assert written.err.count("\n") == 1
    return written.err


@pytest.mark.parametrize("attribute", ["scheduler", "make", "holder.nested"])
def test_a_target_is_an_attribute_or_a_function_that_makes_it(here: Path, attribute: str) -> None:
    assert scheduler_at(f"{module(here)}:{attribute}").outbox is not None


@pytest.mark.parametrize("command", ["run", "status", "init-db"])
def test_a_missing_module_is_named(here: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no module 'no_such_module'" in refusal(capsys, command, "no_such_module:scheduler")


def test_a_missing_submodule_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no module 'json.nothing'" in refusal(capsys, "run", "json.nothing:scheduler")


@pytest.mark.parametrize(
    ("attribute", "shown"),
    [("nothing", "is None"), ("number", "is 7"), ("holder.x.y", "is None"), ("outbox", "Outbox")],
)
def test_an_attribute_that_is_no_scheduler_is_named(
    here: Path, attribute: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, "run", f"{module(here)}:{attribute}")
    assert shown in line
    assert "name a Scheduler, or a function that makes one" in line


@pytest.mark.parametrize("target", ["", ":", "wiring", "wiring:", ":scheduler"])
def test_a_target_without_both_parts_is_refused(here: Path, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not module:attribute" in refusal(capsys, "run", target)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("import no_such_library\n", "No module named 'no_such_library'"),
        ("from asyncflow import Nothing\n", "cannot import name 'Nothing'"),
        ("def scheduler(:\n", "SyntaxError"),
        ("\n\n1 / 0\n", "ZeroDivisionError"),
        ("scheduler = open('no-such-file')\n", "FileNotFoundError"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_its_fault(
    here: Path, text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = module(here, text)
    line = refusal(capsys, "run", f"{name}:scheduler")
    assert shown in line
    assert name in line


def test_the_fault_of_a_broken_import_is_told_with_its_place(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = module(here, "\n\n1 / 0\n")
    assert f"{name}.py:3)" in refusal(capsys, "run", f"{name}:scheduler")


def test_a_function_that_raises_is_told_with_its_fault(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "KeyError: 'ASYNCFLOW_SETTING'" in refusal(capsys, "run", f"{module(here)}:broken")


def test_an_error_of_asyncflow_in_the_module_keeps_its_own_words(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = WIRING.replace('{"kafka": MemoryPublisher()}', "{}, ticks=1")
    line = refusal(capsys, "run", f"{module(here, text)}:scheduler")
    assert line.startswith("asyncflow: Scheduler has no option 'ticks' (did you mean 'tick'?)")


@pytest.mark.parametrize("command", ["status", "init-db"])
def test_without_a_database_the_command_says_how_to_name_one(
    here: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "give --database-url URL" in refusal(capsys, command)


@pytest.mark.parametrize(
    "url",
    [
        "no url",
        "nodatabase://user:secret@host/name",
        "mysql+nodriver://user:secret@host/name",
        "postgresql://user:secret@host:port/name",
        "mysql+pymysql://user:secret@host:99999999999999999999x/name",
        "mysql+pymysql://user:half@and:a-secret@host/name",
    ],
)
@pytest.mark.parametrize("command", ["status", "init-db"])
def test_an_unusable_url_is_told_without_its_password(
    here: Path, url: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, command, "--database-url", url)
    assert "the database URL cannot be used" in line
    assert "secret" not in line


@pytest.mark.parametrize("url", ["no url", "postgres://user:secret@host/name"])
def test_a_url_of_no_database_is_told_with_one_that_is(
    here: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "give postgresql+psycopg://USER:PASSWORD@HOST/DATABASE" in refusal(capsys, "status", "--database-url", url)


def test_a_file_that_cannot_be_opened_is_told_with_what_it_needs(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, "init-db", "--database-url", f"sqlite:///{here}/no-folder/app.db")
    assert "unable to open database file; the file's folder has to be there" in line


@pytest.mark.parametrize("arguments", [[], ["walk"], ["run"], ["status", "a:b", "c"], ["init-db", "--nothing"]])
def test_wrong_usage_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: asyncflow" in capsys.readouterr().err


def test_help_names_the_commands() -> None:
    command = [str(Path(sys.executable).with_name("asyncflow")), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True, env={**os.environ})
    assert all(name in done.stdout for name in ("run", "init-db", "status"))


def test_the_command_line_names_every_module_that_is_a_command() -> None:
    found = walk_packages(commands.__path__, f"{commands.__name__}.")
    modules = [importlib.import_module(one.name) for one in found]
    assert {module for module in modules if hasattr(module, "add_to")} == set(cli._COMMANDS)
    assert len(set(cli._COMMANDS)) == len(cli._COMMANDS)


def letter(log: str = "2026-01-01T00:00:00Z too large\nolder\n") -> DeadLetter:
    return DeadLetter(uuid.UUID(int=1), "coupon", "A1", 3, datetime(2026, 1, 1, tzinfo=timezone.utc), log)


def test_an_empty_report_says_so() -> None:
    text = status.render(Report([], {}, []))
    assert "(no tasks)" in text
    assert "(no scheduler has started yet)" in text
    assert "DEAD LETTERS" not in text


def test_a_report_tells_counts_waits_owners_and_the_last_error() -> None:
    types = [TypeReport("coupon", 12, 3.21, None, COUNT_LIMIT, 1), TypeReport("points", 0, None, 7.0, 0, 0)]
    types[1] = replace(types[1], running=2, oldest_running_seconds=61.26, cancelled=3)
    lines = status.render(Report(types, {"host:1": 60, None: 4}, [letter(), letter("")])).splitlines()
    assert lines[1].split() == ["coupon", "12", "3", "s", "-", "0", "-", f">={COUNT_LIMIT}", "1", "0"]
    assert lines[2].split() == ["points", "0", "-", "7", "s", "2", "61", "s", "0", "0", "3"]
    assert {len(line) for line in lines[:3]} == {len(lines[0])}
    assert [line.split(maxsplit=1) for line in lines[5:7]] == [["60", "host:1"], ["4", "(no owner)"]]
    assert "coupon  key=A1  attempts=3" in lines[9]
    assert lines[10].strip() == "2026-01-01T00:00:00Z too large"


def test_a_worker_gets_its_token_from_a_file_or_the_environment(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[tuple[object, ...]] = []

    def record(target: object, server: str, **options: object) -> None:
        del options["hooks"]
        given.append((type(target).__name__, server, options))
        raise OptionError("enough")

    monkeypatch.setattr("asyncflow.integrations.flowsvr.client.command.ServiceWorker", record)
    monkeypatch.setenv("ASYNCFLOW_TOKEN", "from-environment")
    (here / "token").write_text("from-file\n")
    target, server = f"{module(here)}:outbox", ("--server", "http://service")

    for more in ((), ("--token-file", "token", "--name", "w1", "--settle-batch", "7", "--wait-seconds", "2.5")):
        assert refusal(capsys, "worker", target, *server, *more) == "asyncflow: enough\n"
    assert given == [
        ("Outbox", "http://service", {"token": "from-environment", "name": None}),
        ("Outbox", "http://service", {"token": "from-file", "name": "w1", "settle_batch": 7, "wait_seconds": 2.5}),
    ]
    assert "token file" in refusal(capsys, "worker", target, *server, "--token-file", "missing")
    told = refusal(capsys, "worker", f"{module(here)}:number", *server)
    assert "an Outbox, a Scheduler or a QueueWorker" in told
    assert "--server is missing: give the URL" in refusal(capsys, "worker", target)


def test_a_worker_of_a_queue_has_its_options_where_it_is_made(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = module(here)
    with (here / f"{name}.py").open("a") as file:
        file.write("\nfrom asyncflow import QueueWorker\nfrom tests.support.memory_queue import MemoryQueue\n")
        file.write("worker = QueueWorker(outbox, 'workers', MemoryQueue())\n")
    told = refusal(capsys, "worker", f"{name}:worker", "--claim-lease-seconds", "60")
    assert "--claim-lease-seconds is for a worker of a task service; a QueueWorker has its own" in told
    assert "the outbox has no handlers for the queue 'workers'" in refusal(capsys, "worker", f"{name}:worker")


HOSTILE = "evil\x1b]0;owned\x07\x9b31m\u202etxt.exe"


def hostile_letter() -> DeadLetter:
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return DeadLetter(uuid.UUID(int=1), HOSTILE, f"{HOSTILE}\nk", 1, at, f"{HOSTILE}\nsecond line")


@pytest.mark.parametrize("character", [*"\x1b\x00\x07\r\n\x7f\x9b\x85\u202e\u2066\u2028\U000e0001"])
def test_what_is_printed_as_json_says_the_same_and_nothing_that_a_terminal_acts_on(
    capsys: pytest.CaptureFixture[str], character: str
) -> None:
    answer = [{"key": f"Zoë 注文{character}b", f"{character}": [1]}]
    tell(as_json(answer))
    printed = capsys.readouterr().out
    assert json.loads(printed) == answer
    assert all(line.isprintable() for line in printed.split("\n"))
    assert "Zoë 注文" in printed


def test_nothing_that_commands_print_is_acted_on_by_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    letter = hostile_letter()
    told = TypeReport(HOSTILE, 1, None, None, 0, 0)
    tell(status.render(Report([told], {HOSTILE: 1}, [letter])))
    tell(letters.render([letter]))
    tell(HOSTILE, sys.stderr)
    printed = capsys.readouterr()
    for line in (printed.out + printed.err).splitlines():
        assert line.isprintable(), line
    assert "\\x1b]0;owned\\x07" in printed.out
    assert "\\nk" in printed.out  # a field has no lines of its own


def test_nothing_in_the_log_of_commands_is_acted_on_by_a_terminal() -> None:
    try:
        raise ValueError(f"{HOSTILE}\n2026-01-01 00:00:00,000 INFO    SchedulerStopped clean=True")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed: %s", (f"{HOSTILE}\nforged",), sys.exc_info())
    line, *further = PlainFormatter("%(levelname)s %(message)s").format(record).split("\n")
    assert line.isprintable()
    assert line.endswith("\\nforged")
    assert further
    assert all(one.isprintable() and one.startswith("  ") for one in further)


@pytest.mark.parametrize(
    ("missing", "extra"),
    [
        ("pymysql", "mysql"),
        ("MySQLdb", "mysql"),
        ("psycopg", "postgresql"),
        ("psycopg2", "postgresql"),
        ("pg8000", "postgresql"),
    ],
)
def test_a_driver_that_is_missing_is_named_with_the_extra_that_brings_it(missing: str, extra: str) -> None:
    told = told_driver(ModuleNotFoundError(f"No module named {missing!r}", name=missing))
    assert told is not None
    assert told.startswith(f"the driver {missing} is not installed")
    assert f"pip install 'asyncflow-outbox[{extra}]'" in told
    assert told_driver(ModuleNotFoundError("No module named 'shop'", name="shop")) is None


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_a_terminal_has_no_letters_for_is_told_as_json_escapes_it(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    answer = {"Zo\u00eb \u6ce8\u6587 \U0001f600": "\u2581\u00a0"}
    tell(as_json(answer))
    sys.stdout.flush()
    text = written.getvalue().decode(encoding)
    assert json.loads(text) == answer
    assert ("\u6ce8" in text, "\\u6ce8" in text) == (encoding == "utf-8", encoding != "utf-8")


def test_what_was_given_wrong_is_told_escaped_and_suggested_nowhere_else(capsys: pytest.CaptureFixture[str]) -> None:
    for given in (f"--{HOSTILE}", HOSTILE):
        with pytest.raises(SystemExit):
            cli.main(["status", given, "--nothing"])
        told = capsys.readouterr().err
        assert all(line.isprintable() for line in told.split("\n")), told
    with pytest.raises(SystemExit):
        cli.main(["explain", "--type", "mail"])
    told = capsys.readouterr().err
    assert "--type (another command has it)" in told
    assert "did you mean" not in told
