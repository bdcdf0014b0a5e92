"""What asks a database last, as a scheduler ends, is waited for within the time that is left."""

from __future__ import annotations

import threading

import pytest

from asyncflow.scheduler.loops import steps
from asyncflow.scheduler.loops.steps import Stop
from asyncflow.scheduler.loops.threads import serves


def test_what_never_ends_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_LEAST_SECONDS", 0.01)
    for_ever = threading.Event()
    assert Stop(0.0).awaits(lambda: for_ever.wait(60), None) is False
    for_ever.set()


def test_what_ends_is_waited_for_though_no_time_is_left_and_serves_whom_it_is_for() -> None:
    whom, seen = object(), list[bool]()
    assert Stop(0.0).awaits(lambda: seen.append(serves(whom)), whom) is True
    assert seen == [True]
    assert not serves(whom)


def test_it_is_done_where_no_thread_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    done: list[int] = []
    assert Stop(0.0).awaits(lambda: done.append(1), None) is True
    assert done == [1]
