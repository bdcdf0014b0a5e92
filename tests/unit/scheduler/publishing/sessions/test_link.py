"""One session at a time, replaced when it is spent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from asyncflow.errors import UnreachableError
from asyncflow.scheduler.publishing.publisher import SENT, Record, Unavailable
from asyncflow.scheduler.publishing.sessions.link import Link
from asyncflow.scheduler.publishing.sessions.suspects import Judgement

BATCH = [Record("t", None, b"v", [])] * 2


class Lasting:
    """Be a session that ends only when it was asked ``reluctance`` times more than once."""

    def __init__(self, *, reluctance: int = 0, raises: BaseException | None = None) -> None:
        self.is_spent = False
        self.ends = 0
        self._reluctance = reluctance
        self._raises = raises

    def attempt(self, batch: Sequence[Record], deadline: float) -> list[Judgement]:
        if self._raises:
            raise self._raises
        return [SENT] * len(batch)

    def end(self, patience_seconds: float) -> bool:
        self.ends += 1
        return self.ends > self._reluctance

    def leave_to_parent(self) -> None: ...


class Maker:
    """Hand out the given sessions, one for each connection."""

    def __init__(self, *sessions: Lasting) -> None:
        self.left = list(sessions)

    def __call__(self, deadline: float) -> Lasting:
        return self.left.pop(0)


def test_a_session_is_kept_while_it_is_good() -> None:
    maker = Maker(Lasting(), Lasting())
    link = Link(maker, 1.0)
    assert link.publish(BATCH) == link.publish(BATCH) == [SENT, SENT]
    assert len(maker.left) == 1


def test_a_spent_session_is_ended_and_replaced() -> None:
    first, second = Lasting(), Lasting()
    link = Link(Maker(first, second), 1.0)
    first.is_spent = True
    link.publish(BATCH)
    link.publish(BATCH)
    assert (first.ends, second.ends) == (1, 0)


def test_a_session_that_is_slow_to_end_is_asked_again() -> None:
    slow = Lasting(reluctance=1)
    slow.is_spent = True
    link = Link(Maker(slow, Lasting()), 1.0)
    link.publish(BATCH)
    link.publish(BATCH)
    link.close()
    assert slow.ends == 2


def test_an_interrupted_session_is_not_used_again() -> None:
    interrupted = Lasting(raises=KeyboardInterrupt())
    link = Link(Maker(interrupted, Lasting()), 1.0)
    with pytest.raises(KeyboardInterrupt):
        link.publish(BATCH)
    assert link.publish(BATCH) == [SENT, SENT]
    assert interrupted.ends == 1


def test_what_cannot_be_reached_is_unavailable_with_its_reason() -> None:
    def refuse(deadline: float) -> Lasting:
        raise UnreachableError("nobody there")

    assert Link(refuse, 1.0).publish(BATCH) == [Unavailable("nobody there")] * 2


def test_a_closed_link_makes_no_session() -> None:
    maker = Maker(Lasting())
    link = Link(maker, 1.0)
    link.close()
    link.close()
    assert link.publish(BATCH) == [Unavailable("the publisher is closed")] * 2
    assert len(maker.left) == 1
