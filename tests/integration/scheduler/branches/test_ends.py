"""A scheduler of several databases ends within its time, whoever asks it to, and whatever one of them is at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from sqlalchemy import event, func, select

from asyncflow.events import Event, MembersChanged, SchedulerStopped
from asyncflow.scheduler import Scheduler
from tests.integration.scheduler.branches.several import LONG, Several
from tests.support.databases import open_engine
from tests.unit.scheduler.waiting import eventually


class Calling:
    """Be a hook that calls, once, what is to be called when a certain event comes."""

    def __init__(self, wanted: Callable[[Event], bool], call: Callable[[], object]) -> None:
        self._wanted = wanted
        self._call = call
        self.began, self.returned = threading.Event(), threading.Event()

    def __call__(self, heard: Event) -> None:
        if self._wanted(heard) and not self.began.is_set():
            self.began.set()
            self._call()
            self.returned.set()


def is_of_the_cluster(heard: Event) -> bool:
    return isinstance(heard, MembersChanged) and threading.current_thread().name == "asyncflow-cluster"


def test_a_hook_on_a_thread_of_the_cluster_may_stop_it(spread_files: Several) -> None:
    hook = Calling(is_of_the_cluster, lambda: scheduler.stop())
    spread_files.hooks.append(hook)
    scheduler = spread_files.scheduler(heartbeat_seconds=0.1, stop_timeout_seconds=20)
    scheduler.start()
    with spread_files.scheduler(heartbeat_seconds=0.1):
        assert hook.returned.wait(LONG)
        assert scheduler.wait(LONG)


def test_a_hook_may_call_stop_on_the_threads_that_end_them(spread_files: Several) -> None:
    def is_of_an_end(heard: Event) -> bool:
        return threading.current_thread().name.startswith("asyncflow-stop-")

    hook = Calling(is_of_an_end, lambda: scheduler.stop())
    spread_files.hooks.append(hook)
    scheduler = spread_files.scheduler()
    scheduler.start()
    stopped: list[bool] = []
    thread = threading.Thread(target=lambda: stopped.append(scheduler.stop()), daemon=True)
    thread.start()
    thread.join(LONG)
    assert hook.returned.is_set()
    assert stopped == [True]


def test_a_stop_ends_and_is_not_clean_where_the_end_of_one_hangs(
    spread_files: Several, monkeypatch: pytest.MonkeyPatch, until_the_end: threading.Event
) -> None:
    scheduler = spread_files.scheduler()
    scheduler.start()
    stuck = scheduler.branches.by_name["db1"]
    monkeypatch.setattr(stuck.machinery, "stop", lambda seconds: until_the_end.wait())
    stopped: list[bool] = []
    thread = threading.Thread(target=lambda: stopped.append(scheduler.stop(1)), daemon=True)
    thread.start()
    thread.join(LONG)
    assert stopped == [False]
    ends = {one.database_name: one.clean for one in spread_files.signals.of(SchedulerStopped)}
    assert (ends["db0"], ends["db1"]) == (True, False)


def test_one_that_still_waits_for_its_database_takes_no_time_from_the_end_of_others(
    spread_files: Several, monkeypatch: pytest.MonkeyPatch, until_the_end: threading.Event
) -> None:
    monkeypatch.setattr("asyncflow.scheduler.branches.branches._PATIENCE_SECONDS", 0.1)
    scheduler, is_asked = hanging_at(spread_files, "db1", until_the_end)
    scheduler.start()
    assert is_asked.wait(LONG)
    for name in ("db0", "db2"):
        eventually(partial(has_instances, spread_files, name, 1), LONG)
    stopped: list[bool] = []
    thread = threading.Thread(target=lambda: stopped.append(scheduler.stop(2 * LONG)), daemon=True)
    thread.start()
    for name in ("db0", "db2"):
        eventually(partial(has_instances, spread_files, name, 0), LONG)
    assert stopped == []
    until_the_end.set()
    thread.join(LONG)
    assert len(stopped) == 1
    ends = {one.database_name: one.clean for one in spread_files.signals.of(SchedulerStopped)}
    assert (ends["db0"], ends["db2"]) == (True, True)


def hanging_at(spread: Several, name: str, until: threading.Event) -> tuple[Scheduler, threading.Event]:
    """Return a scheduler for which one of the databases says nothing, and what tells that it was asked."""
    engine, is_asked = open_engine(spread.engines[name].url), threading.Event()

    @event.listens_for(engine, "do_connect")
    def hang(*_: object) -> None:
        is_asked.set()
        until.wait()

    return spread.scheduler({**spread.engines, name: engine}), is_asked


def has_instances(spread: Several, name: str, count: int) -> bool:
    with spread.engines[name].connect() as connection:
        return connection.scalar(select(func.count()).select_from(spread.outbox.instances)) == count


@pytest.fixture
def until_the_end() -> Iterator[threading.Event]:
    """Give what is set when the test is over, for what hangs until then."""
    over = threading.Event()
    yield over
    over.set()
