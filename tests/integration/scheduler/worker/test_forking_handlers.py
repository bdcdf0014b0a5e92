"""Foreign code that forks: its child ends where it would come back to us, with the exit code that Python gives."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from asyncflow import Call, Outbox, SimpleJob
from asyncflow.events import TasksPublished
from asyncflow.scheduler import Outcome, Record
from asyncflow.testing import MemoryPublisher
from tests.integration.conftest import Schedule
from tests.integration.scheduler.faults import faults
from tests.integration.scheduler.settled import wait_for_settled
from tests.integration.scheduler.writing import publish
from tests.support.application import Application
from tests.support.forking import exit_code_of
from tests.unit.scheduler.waiting import eventually


def leave(code: Any) -> Callable[[], None]:
    return lambda: sys.exit(code)


def fail() -> None:
    raise ValueError("the child fails")


ENDINGS: dict[str, tuple[Callable[[], None], int]] = {
    "sys.exit()": (leave(None), 0),
    "sys.exit(3)": (leave(3), 3),
    "sys.exit(text)": (leave("the child is done for"), 1),
    "raise": (fail, 1),
    "return": (lambda: None, 0),
}


class Notes:
    """Keep what happened in files, which parent and children write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, *words: object) -> None:
        target = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(target, (" ".join(map(str, words)) + "\n").encode())
        os.close(target)

    def is_first(self) -> bool:
        """Tell one caller of all threads and processes that it is the first."""
        try:
            os.close(os.open(f"{self._path}.first", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def all(self) -> list[list[str]]:
        return [line.split() for line in self._path.read_text().splitlines()] if self._path.exists() else []


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")


def fork_once(notes: Notes, ending: Callable[[], None]) -> bool:
    """Fork once a test, and note the child's exit code; return whether this is the child, which has ended its work."""
    if not notes.is_first():
        return False
    pid = os.fork()
    if pid == 0:
        ending()
        return True
    notes.add("code", exit_code_of(pid))
    return False


def codes(notes: Notes) -> list[int]:
    return [int(words[1]) for words in notes.all() if words[0] == "code"]


def done(notes: Notes) -> list[tuple[int, str]]:
    return [(int(words[1]), words[2]) for words in notes.all() if words[0] == "done"]


def declare(outbox: Outbox, kind: str, work: Callable[[str], None]) -> None:
    """Declare the handler ``work`` as a function, a transactional one, or a coroutine."""
    options: dict[str, Any] = {"concurrency": 2, "limit": 40}
    if kind == "transactional":

        @outbox.task("fork", transactional=True, **options)
        def transactional(session: Session, name: str) -> None:
            session.connection()
            work(name)

    elif kind == "coroutine":

        @outbox.task("fork", **options)
        async def coroutine(name: str) -> None:
            await asyncio.sleep(0)
            work(name)
            await asyncio.sleep(0)

    else:

        @outbox.task("fork", **options)
        def function(name: str) -> None:
            work(name)


def work_off(application: Application, schedule: Schedule, notes: Notes, count: int = 30) -> None:
    with application.engine.begin() as connection:
        application.outbox.enqueue_many(connection, "fork", [Call({"name": f"t{n}"}) for n in range(count)])
    scheduler = schedule()
    with scheduler:
        wait_for_settled(application.signals, "handlers", count)
        assert scheduler.ownership.epochs()
    assert Counter(done(notes)) == Counter((os.getpid(), f"t{n}") for n in range(count))
    assert faults(application) == []


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["function", "transactional"])
def test_the_child_of_a_handler_ends_with_it(
    kind: str, ending: str, application: Application, schedule: Schedule, notes: Notes
) -> None:
    end, code = ENDINGS[ending]

    def work(name: str) -> None:
        if not fork_once(notes, end):
            notes.add("done", os.getpid(), name)

    declare(application.outbox, kind, work)
    work_off(application, schedule, notes)
    assert codes(notes) == [code]


@pytest.mark.parametrize("ending", ["sys.exit()", "sys.exit(3)", "raise"])
def test_the_child_of_a_coroutine_ends_with_it(
    ending: str, sqlite_application: Application, sqlite_schedule: Schedule, notes: Notes
) -> None:
    end, code = ENDINGS[ending]

    def work(name: str) -> None:
        if not fork_once(notes, end):
            notes.add("done", os.getpid(), name)

    declare(sqlite_application.outbox, "coroutine", work)
    work_off(sqlite_application, sqlite_schedule, notes)
    assert codes(notes) == [code]


def test_the_child_of_a_coroutine_ends_where_it_awaits_on_the_loop_of_its_parent(
    sqlite_application: Application, sqlite_schedule: Schedule, notes: Notes, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(name: str) -> None:
        if not fork_once(notes, ENDINGS["return"][0]):
            notes.add("done", os.getpid(), name)

    declare(sqlite_application.outbox, "coroutine", work)
    work_off(sqlite_application, sqlite_schedule, notes)
    assert codes(notes) == [1]
    assert "awaits on the event loop of its parent" in capfd.readouterr().err


def test_the_child_of_a_thread_of_a_coroutine_ends_with_it(
    sqlite_application: Application, sqlite_schedule: Schedule, notes: Notes
) -> None:
    def work(name: str) -> None:
        if not fork_once(notes, ENDINGS["sys.exit(3)"][0]):
            notes.add("done", os.getpid(), name)

    @sqlite_application.outbox.task("fork", concurrency=2, limit=40)
    async def coroutine(name: str) -> None:
        await asyncio.to_thread(work, name)

    work_off(sqlite_application, sqlite_schedule, notes)
    assert codes(notes) == [3]


def test_a_process_of_multiprocessing_does_its_work_and_no_other(
    application: Application, schedule: Schedule, notes: Notes
) -> None:
    def in_child(code: int) -> None:
        with application.engine.connect() as connection:  # one of its own
            assert connection.execute(application.outbox.tasks.select().limit(1)).all()
        sys.exit(code)

    def work(name: str) -> None:
        if name == "t3":
            child = multiprocessing.get_context("fork").Process(target=in_child, args=(7,))
            child.start()
            child.join(60)
            notes.add("code", child.exitcode)
        notes.add("done", os.getpid(), name)

    declare(application.outbox, "function", work)
    work_off(application, schedule, notes)
    assert codes(notes) == [7]


class Forking(MemoryPublisher):
    """Fork in the first batch."""

    def __init__(self, fork: Callable[[], bool]) -> None:
        super().__init__()
        self._fork = fork

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        self._fork()
        return super().publish(batch)


@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise", "return"])
@pytest.mark.parametrize("room", ["publisher", "builder", "hook", "job", "listener"])
def test_the_child_of_other_code_of_the_application_ends_with_it(
    room: str, ending: str, sqlite_application: Application, sqlite_schedule: Schedule, notes: Notes
) -> None:
    application = sqlite_application
    end, code = ENDINGS[ending]

    def fork() -> bool:
        return fork_once(notes, end)

    @application.outbox.message("built")
    def build(_: Any, tasks: Sequence[Any]) -> list[Any]:
        if room == "builder":
            fork()
        return [{} for _ in tasks]

    def on_published(event: object) -> None:
        if room == "hook" and isinstance(event, TasksPublished):
            fork()

    class Listener:
        def before(self, _: Any) -> None:
            if room == "listener":
                fork()

        def after(self, _: Any) -> None:
            """Do nothing."""

    def execute(_: Any) -> None:
        if room == "job":
            fork()

    job = SimpleJob("forks", execute, cron="* * * * * *", sharding_total_count=2, listeners=[Listener()])
    publisher = Forking(fork) if room == "publisher" else MemoryPublisher()
    publish(application)
    publish(application, task_type="built", payload=None)
    with sqlite_schedule(publisher, on_published, jobs=[job]):
        wait_for_settled(application.signals, "kafka", 2)
        eventually(lambda: codes(notes))
    assert codes(notes) == [code]
    assert faults(application) == []
    assert len(publisher.records) == 2
