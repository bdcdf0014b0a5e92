"""A scheduler of several databases ends within its time, whoever asks it to, and whatever one of them is at."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pkgutil import resolve_name
from typing import Any

import pytest
from sqlalchemy import event, func, select

from asyncflow.errors import TablesMissingError
from asyncflow.events import Event, MembersChanged, SchedulerStarted, SchedulerStopped, StepFailed
from asyncflow.scheduler import Scheduler
from asyncflow.scheduler.branches.branch import Branch
from asyncflow.scheduler.instance import Instance
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
        return threading.current_thread().name == "asyncflow-ending"

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


@pytest.mark.parametrize("place", ["scheduler.branches.branch.require_database", "scheduler.machinery.place_of"])
def test_a_try_that_ends_after_the_stop_leaves_nothing_begun(
    spread_files: Several, monkeypatch: pytest.MonkeyPatch, until_the_end: threading.Event, place: str
) -> None:
    monkeypatch.setattr("asyncflow.scheduler.branches.branches._PATIENCE_SECONDS", 0.1)
    is_asked, late = threading.Event(), spread_files.engines["db1"]
    asked: Callable[[Any], Any] = resolve_name(f"asyncflow.{place}")

    def ask(of: Any) -> Any:
        if getattr(of, "engine", of) is late:
            is_asked.set()
            until_the_end.wait()
        return asked(of)

    monkeypatch.setattr(f"asyncflow.{place}", ask)
    scheduler = spread_files.scheduler(lease_seconds=600.0)
    scheduler.start()
    assert is_asked.wait(LONG)
    assert scheduler.stop(0) is False
    until_the_end.set()
    eventually(lambda: "asyncflow-start" not in {thread.name for thread in threading.enumerate()}, LONG)
    with late.connect() as connection:
        owners = connection.scalars(select(spread_files.outbox.shards.c.owner)).all()
        assert set(owners) <= {None}
        assert connection.scalars(select(spread_files.outbox.instances.c.instance)).all() == []
    assert spread_files.outbox.bell._listeners == ()
    for kind in (SchedulerStarted, SchedulerStopped):
        assert "db1" not in {one.database_name for one in spread_files.signals.of(kind)}
    eventually(
        lambda: late.pool.checkedout() == 0,  # type: ignore[attr-defined]
        LONG,
    )


def test_a_hook_that_stops_while_none_can_be_begun_holds_up_no_start(
    spread_files: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncflow.scheduler.branches.branches._PATIENCE_WITH_TRIES_SECONDS", 2 * LONG)
    for engine in spread_files.engines.values():
        spread_files.application.Base.metadata.drop_all(engine)
    hook = Calling(lambda heard: isinstance(heard, StepFailed) and heard.loop == "start", lambda: scheduler.stop())
    spread_files.hooks.append(hook)
    scheduler = spread_files.scheduler()
    raised: list[Exception] = []

    def start() -> None:
        try:
            scheduler.start()
        except TablesMissingError as error:
            raised.append(error)

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    thread.join(LONG)
    assert len(raised) == 1
    assert hook.returned.wait(LONG)
    assert scheduler.wait(LONG)


def test_a_start_raises_nothing_where_one_begins_as_it_gives_up(
    spread_files: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = spread_files.scheduler()
    tries, is_tried_again = Counter[str](), threading.Event()

    def require(instance: Instance) -> None:
        name = instance.database_name
        tries[name] += 1
        if tries[name] > 1 and name == "db0":
            is_tried_again.set()
            starter = scheduler.branches._starters[name]
            eventually(starter._loop._stopping.is_set, LONG)  # given up
        elif tries[name] == 1:
            assert name == "db0" or is_tried_again.wait(LONG)
            raise TablesMissingError(name)

    monkeypatch.setattr("asyncflow.scheduler.branches.branch.require_database", require)
    with scheduler:
        for branch in scheduler.branches:
            eventually(partial(is_begun, branch), LONG)


def is_begun(branch: Branch) -> bool:
    return branch.is_begun


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
