"""A scheduler of several databases ends within its time, whoever asks it to, and whatever one of them is at."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from asyncflow.events import Event, MembersChanged, SchedulerStopped
from tests.integration.scheduler.branches.several import LONG, Several


class Calling:
    """Be a hook that calls, once, what is to be called when a certain event comes."""

    def __init__(self, wanted: Callable[[Event], bool], call: Callable[[], object]) -> None:
        self._wanted = wanted
        self._call = call
        self.began, self.returned = threading.Event(), threading.Event()

    def __call__(self, event: Event) -> None:
        if self._wanted(event) and not self.began.is_set():
            self.began.set()
            self._call()
            self.returned.set()


def is_of_the_cluster(event: Event) -> bool:
    return isinstance(event, MembersChanged) and threading.current_thread().name == "asyncflow-cluster"


def test_a_hook_on_a_thread_of_the_cluster_may_stop_it(spread_files: Several) -> None:
    hook = Calling(is_of_the_cluster, lambda: scheduler.stop())
    spread_files.hooks.append(hook)
    scheduler = spread_files.scheduler(heartbeat_seconds=0.1, stop_timeout_seconds=20)
    scheduler.start()
    with spread_files.scheduler(heartbeat_seconds=0.1):
        assert hook.returned.wait(LONG)
        assert scheduler.wait(LONG)


def test_a_hook_may_call_stop_on_the_threads_that_end_them(spread_files: Several) -> None:
    def is_of_an_end(event: Event) -> bool:
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
    ends = {event.database_name: event.clean for event in spread_files.signals.of(SchedulerStopped)}
    assert (ends["db0"], ends["db1"]) == (True, False)


@pytest.fixture
def until_the_end() -> Iterator[threading.Event]:
    """Give what is set when the test is over, for what hangs until then."""
    event = threading.Event()
    yield event
    event.set()
