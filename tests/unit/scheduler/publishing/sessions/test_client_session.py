"""A session whose client one thread uses, and another may end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from asyncflow.errors import UnreachableError
from asyncflow.scheduler.publishing.publisher import SENT, Record, Unavailable
from asyncflow.scheduler.publishing.sessions.client_session import ClientSession
from asyncflow.scheduler.publishing.sessions.suspects import Judgement

BATCH = [Record("topic", None, b"{}", []), Record("topic", None, b"{}", [])]
CLOSED = [Unavailable("the publisher is closed")] * len(BATCH)
LIMIT = 60.0


class Plain(ClientSession):
    """Send until interrupted, where it ``lasts``; write down what is asked of its client."""

    def __init__(self, *, lasts: bool = False, heeds: bool = True, trouble: str = "") -> None:
        super().__init__()
        self.lasts, self.heeds, self.trouble = lasts, heeds, trouble
        self.begun, self.interrupted = threading.Event(), threading.Event()
        self.seen: list[str] = []

    def _refresh(self, deadline: float) -> None:
        self.seen.append("refresh")
        if self.trouble:
            raise UnreachableError(self.trouble)

    def _deliver(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        self.seen.append("deliver")
        self.begun.set()
        assert not self.lasts or self.interrupted.wait(LIMIT)
        return [SENT] * len(batch)

    def _interrupt(self) -> None:
        self.seen.append("interrupt")
        if self.heeds:
            self.interrupted.set()

    def _end_client(self, patience_seconds: float) -> None:
        self.seen.append("end")


def deadline() -> float:
    return monotonic() + LIMIT


def test_the_client_is_ended_once() -> None:
    session = Plain()
    assert session.attempt(BATCH, deadline()) == [SENT, SENT]
    assert (session.end(LIMIT), session.end(LIMIT)) == (True, True)
    assert session.seen == ["refresh", "deliver", "end"]


def test_nothing_is_asked_of_a_client_that_was_ended() -> None:
    session = Plain()
    session.end(LIMIT)
    assert session.attempt(BATCH, deadline()) == CLOSED
    assert session.is_spent
    assert session.seen == ["end"]


def test_a_session_that_cannot_connect_anew_is_spent() -> None:
    session = Plain(trouble="no route")
    assert session.attempt(BATCH, deadline()) == [Unavailable("no route")] * 2
    assert session.is_spent


def test_what_is_under_way_is_interrupted_and_waited_for() -> None:
    session = Plain(lasts=True)
    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(session.attempt, BATCH, deadline())
        assert session.begun.wait(LIMIT)
        assert session.end(LIMIT)
        assert sending.result(LIMIT) == [SENT, SENT]
    assert session.seen == ["refresh", "deliver", "interrupt", "end"]


@pytest.mark.parametrize("patience_seconds", [0.0, 0.01])
def test_what_goes_on_all_the_same_keeps_its_client(patience_seconds: float) -> None:
    session = Plain(lasts=True, heeds=False)
    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(session.attempt, BATCH, deadline())
        assert session.begun.wait(LIMIT)
        assert not session.end(patience_seconds)
        session.interrupted.set()
        sending.result(LIMIT)
    assert "end" not in session.seen
    assert session.end(LIMIT)
    assert session.seen[-1] == "end"
