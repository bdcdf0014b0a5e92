"""The watch over lines has a thread for as long as there is anything to look after."""

from __future__ import annotations

import threading

import pytest

from asyncflow.outbox.lines.line import Watch


class Late:
    """Know when it is looked at."""

    def __init__(self) -> None:
        self.was_seen = threading.Event()

    def cut_if_late(self, now: float) -> None:
        self.was_seen.set()


class Broken(Late):
    """Fail as it is looked at."""

    def cut_if_late(self, now: float) -> None:
        super().cut_if_late(now)
        raise LookupError("there is no such frame")


def test_a_watch_for_which_there_was_no_thread_looks_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, late = Watch(), Late()
    with monkeypatch.context() as system:
        system.setattr(threading.Thread, "start", _no_thread)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            watch.add(late)
    watch.add(late)
    assert late.was_seen.wait(60)
    watch.discard(late)


def _no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_one_that_cannot_be_looked_at_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    watch, broken = Watch(), Broken()
    watch.add(broken)
    assert broken.was_seen.wait(60)
    late = Late()
    watch.add(late)
    assert late.was_seen.wait(60)
    for one in (broken, late):
        watch.discard(one)
    assert "there is no such frame" in caplog.text
