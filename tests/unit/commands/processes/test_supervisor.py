"""A supervisor begins what died again, with pauses that grow, and stops all; a command at fault ends it."""

from __future__ import annotations

import errno
import subprocess
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from asyncflow.commands.processes.sibling import Sibling
from asyncflow.commands.processes.supervisor import Supervisor
from asyncflow.commands.stop_signals import StopSignals
from asyncflow.errors import OptionError


class Fake:
    """Be a process that lives until it is told to end."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.place = environment["ASYNCFLOW_PROCESS"]
        self.pid = 1
        self.code: int | None = None
        self.at_stop = 0

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.code = self.at_stop if self.code is None else self.code

    def wait(self) -> int:
        assert self.code is not None
        return self.code


class Stage:
    """Have a supervisor whose time is the test's own; each pause is a tick of a second, and calls what is planned."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int = 2) -> None:
        self.now = 0.0
        self.begun: list[Fake] = []
        self.plan: dict[int, Any] = {}
        self.refusals = 0  # of the system, to come
        self.signals = StopSignals()
        monkeypatch.setattr(subprocess, "Popen", self._begin)
        self._thread, self._sleep = threading.get_ident(), time.sleep
        monkeypatch.setattr(time, "sleep", self._tick)
        self.supervisor = Supervisor(count, ["run", "app:s"], clock=lambda: self.now)

    def _begin(self, command: Sequence[str], **options: Any) -> Fake:
        assert list(command[1:]) == ["-m", "asyncflow.cli", "run", "app:s"]
        assert options["start_new_session"]
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        self.begun.append(Fake(options["env"]))
        return self.begun[-1]

    def _tick(self, seconds: float) -> None:
        if threading.get_ident() != self._thread:  # one that an earlier test has left
            self._sleep(seconds)
            return
        self.now += 1.0
        self.plan.get(int(self.now), lambda: None)()

    def stop(self) -> None:
        self.signals.is_heard = True

    def run(self) -> int:
        return self.supervisor.run(self.signals)


def test_a_process_that_dies_is_begun_again_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.plan = {3: lambda: setattr(stage.begun[0], "code", -9), 8: stage.stop}
    assert stage.run() == 0
    assert [one.place for one in stage.begun] == ["0/2", "1/2", "0/2"]


def test_pauses_grow_while_it_dies_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    moments: list[float] = []

    def die() -> None:
        for one in stage.begun[2:] if stage.now > 1 else stage.begun[:1]:
            if one.code is None:
                one.code = -9
                moments.append(stage.now)

    stage.plan = dict.fromkeys(range(1, 100), die) | {100: stage.stop}
    assert stage.run() == 0
    gaps = [round(after - before) for before, after in pairwise(moments)]
    assert gaps == sorted(gaps)
    assert gaps[:3] == [2, 3, 5]
    assert max(gaps) <= 32


@pytest.mark.parametrize("code", [1, 2])
def test_a_command_at_fault_ends_all_with_its_code(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    stage = Stage(monkeypatch)
    stage.plan = {2: lambda: setattr(stage.begun[1], "code", code)}
    assert stage.run() == code
    assert stage.begun[0].code == 0


def test_one_that_fails_when_the_command_has_worked_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.plan = {12: lambda: setattr(stage.begun[1], "code", 1), 20: stage.stop}
    assert stage.run() == 0
    assert len(stage.begun) == 3


def test_one_that_the_system_cannot_begin_is_tried_again_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)

    def die_without_memory() -> None:
        stage.begun[0].code, stage.refusals = -9, 2

    stage.plan = {12: die_without_memory, 30: stage.stop}
    assert stage.run() == 0
    assert [one.place for one in stage.begun] == ["0/2", "1/2", "0/2"]
    assert stage.refusals == 0


def test_a_command_that_never_can_be_begun_is_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch)
    stage.refusals = 2
    assert stage.run() == 1


@pytest.mark.parametrize(("code", "told"), [(0, 0), (3, 3), (1, 1), (-9, 1), (-15, 0)])
def test_work_left_behind_is_told_by_the_code(monkeypatch: pytest.MonkeyPatch, code: int, told: int) -> None:
    stage = Stage(monkeypatch)

    def stop() -> None:
        stage.begun[0].at_stop = code
        stage.stop()

    stage.plan = {2: stop}
    assert stage.run() == told


@pytest.mark.parametrize("count", [0, 1, -3, 257])
def test_a_number_that_is_none_is_refused(count: int) -> None:
    with pytest.raises(OptionError, match=f"--processes is {count}"):
        Supervisor(count, [])


def test_ports_count_up_and_any_port_is_any_for_each() -> None:
    assert [Sibling(number, 3).port(9090) for number in range(3)] == [9090, 9091, 9092]
    assert Sibling(2, 3).port(0) == 0
    assert Sibling(2, 3).port(None) is None
    assert str(Sibling(0, 4)) == "1/4"
