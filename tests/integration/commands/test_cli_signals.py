"""A stop that comes before the work has begun is a stop like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.integration.commands.test_cli import ASYNCFLOW, LONG, line_from, plain
from tests.support.application import Application

WIRING = """
import sys, time
from multiprocessing import get_context
from sqlalchemy import MetaData, create_engine, event
from asyncflow import Outbox, Scheduler
from asyncflow.testing import MemoryPublisher

engine = create_engine({url!r})
outbox = Outbox(MetaData())

@outbox.task
def nap():
    child = get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    child.terminate()
    child.join()
    print("child", child.exitcode, flush=True)

scheduler = Scheduler(engine, outbox, {{"kafka": MemoryPublisher()}})
"""
# In short steps: Python runs the handler of a signal that comes in the moment before a sleep only after that sleep.
SLOW_IMPORT = """
def take_long():
    for _ in range(6000):
        time.sleep(0.1)

print("there", flush=True)
take_long()
"""
STUBBORN_IMPORT = """
def take_long():
    for _ in range(6000):
        time.sleep(0.1)

try:
    print("there", flush=True)
    take_long()
except BaseException:
    pass
"""
SLOW_START = """
@event.listens_for(engine, "do_connect")
def wait(*_):
    print("there", flush=True)
    sys.stdin.readline()
"""
COMMANDS = {
    "run": ["run", "wiring:scheduler"],
    "worker": ["worker", "wiring:scheduler", "--server", "http://127.0.0.1:1"],
    "serve": ["serve", "wiring:scheduler", "--port", "0", "--insecure-no-auth"],
}
Start = Callable[[str, str], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, sqlite_engine: Engine) -> Iterator[Start]:
    """Start a command on a wiring with something added; end it with the test."""
    Application(sqlite_engine)
    processes: list[subprocess.Popen[str]] = []

    def begin(command: str, added: str) -> subprocess.Popen[str]:
        (tmp_path / "wiring.py").write_text(WIRING.format(url=plain(sqlite_engine.url)) + added)
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [ASYNCFLOW, *COMMANDS[command]], cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate(timeout=LONG)


@pytest.mark.parametrize(
    ("command", "added", "number"),
    [
        ("run", SLOW_IMPORT, signal.SIGTERM),
        ("run", STUBBORN_IMPORT, signal.SIGINT),
        ("worker", SLOW_IMPORT, signal.SIGINT),
        ("serve", STUBBORN_IMPORT, signal.SIGTERM),
    ],
)
def test_a_stop_during_the_import_of_the_application_ends_with_0(
    command: str, added: str, number: signal.Signals, start: Start
) -> None:
    process = start(command, added)
    assert line_from(process) == "there"
    process.send_signal(number)
    _, errors = process.communicate(timeout=LONG)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_during_the_start_of_a_scheduler_is_clean(number: signal.Signals, start: Start) -> None:
    process = start("run", SLOW_START)
    assert line_from(process) == "there"
    process.send_signal(number)
    _, errors = process.communicate("go on\n" * 100, timeout=LONG)
    assert process.returncode == 0, errors
    assert "clean=True" in errors


def test_a_second_stop_during_the_import_ends_the_process_at_once(start: Start) -> None:
    process = start("run", STUBBORN_IMPORT.replace("pass", 'print("caught", flush=True); take_long()'))
    assert line_from(process) == "there"
    process.send_signal(signal.SIGTERM)
    assert line_from(process) == "caught"
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG) == -signal.SIGTERM


def test_a_process_that_a_handler_forks_can_be_ended_by_a_signal(start: Start, sqlite_engine: Engine) -> None:
    application = Application(sqlite_engine)
    application.outbox.task("nap")
    with sqlite_engine.begin() as connection:
        application.outbox.enqueue(connection, "nap")
    process = start("run", "")
    assert line_from(process) == f"child {-signal.SIGTERM}"
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG) == 0


HURRIED = """
import os, signal, time
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))  # runs before what is imported later
from asyncflow.commands.stop_signals import StopSignals
with StopSignals():
    child = os.fork()
    if child == 0:
        time.sleep(5)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""


def test_a_signal_ends_a_child_that_has_only_just_been_forked() -> None:
    done = subprocess.run([sys.executable, "-c", HURRIED], capture_output=True, text=True, timeout=LONG, check=True)
    assert done.stdout.strip() == f"{-signal.SIGTERM} set()"


# Takes the place of a library that the package imports.
SLOW_LIBRARY = """
import time
print("there", flush=True)
for _ in range(6000):
    time.sleep(0.1)
"""
SLOW_END = """
import atexit

@atexit.register
def take_long():
    print("there", flush=True)
    for _ in range(6000):
        time.sleep(0.1)
"""
OWN_PROGRAM = """
import time
from asyncflow import Outbox
try:
    print("there", flush=True)
    for _ in range(6000):
        time.sleep(0.1)
except KeyboardInterrupt:
    print("cleaned up")
"""
Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Start a program with a directory of the test's own before all others; end it with the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*command: str) -> subprocess.Popen[str]:
        path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            stdout=pipe,
            stderr=pipe,
            text=True,
            preexec_fn=_heed_ctrl_c,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate(timeout=LONG)


def _heed_ctrl_c() -> None:
    """Undo what a shell's ``&`` leaves to its children: a signal that is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("library", ["sqlalchemy", "argparse"])
@pytest.mark.parametrize(
    "command",
    [[ASYNCFLOW], [sys.executable, "-m", "asyncflow"], [sys.executable, "-m", "asyncflow.cli"]],
    ids=["script", "package", "module"],
)
def test_ctrl_c_while_the_command_is_being_loaded_is_one_line_and_130(
    command: list[str], library: str, tmp_path: Path, begin: Begin
) -> None:
    (tmp_path / f"{library}.py").write_text(SLOW_LIBRARY)
    process = begin(*command, "status")
    assert line_from(process) == "there"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LONG)
    assert (process.returncode, errors) == (130, "asyncflow: interrupted; nothing had begun\n")


def test_ctrl_c_when_a_command_is_done_leaves_its_exit_code(
    tmp_path: Path, sqlite_engine: Engine, begin: Begin
) -> None:
    Application(sqlite_engine)
    (tmp_path / "wiring.py").write_text(WIRING.format(url=plain(sqlite_engine.url)) + SLOW_END)
    process = begin(ASYNCFLOW, "audit", "wiring:scheduler", "--json")
    assert [line_from(process) for _ in range(2)] == ["[]", "there"]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=LONG)
    assert (process.returncode, errors) == (0, "")


def test_a_program_of_the_same_name_hears_ctrl_c_itself(tmp_path: Path, begin: Begin) -> None:
    own = tmp_path / "elsewhere" / "asyncflow"
    own.parent.mkdir()
    own.write_text(OWN_PROGRAM)
    process = begin(sys.executable, str(own))
    assert line_from(process) == "there"
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=LONG)
    assert (process.returncode, told, errors) == (0, "cleaned up\n", "")
