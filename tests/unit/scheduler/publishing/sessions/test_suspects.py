"""A record is rejected only when it was refused alone."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from asyncflow.scheduler.publishing.publisher import SENT, Record, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.suspects import Judgement, Suspect, deliver

NEVER = float("inf")
PAST = float("-inf")


class Broker:
    """Refuse each request that holds a guilty record, whole; remember what it took."""

    def __init__(self, guilty: set[bytes]) -> None:
        self._guilty = guilty
        self.taken: list[bytes] = []

    def attempt(self, batch: Sequence[Record]) -> list[Judgement]:
        values = [record.value for record in batch]
        if self._guilty & set(values):
            return [Suspect("refused")] * len(batch)
        self.taken += values
        return [SENT] * len(batch)


def _batch(count: int) -> list[Record]:
    return [Record("t", None, b"%d" % number, []) for number in range(count)]


@given(st.integers(1, 60), st.sets(st.integers(0, 59)))
def test_the_guilty_are_rejected_and_all_others_sent_once_in_order(count: int, guilty: set[int]) -> None:
    broker = Broker({b"%d" % number for number in guilty})
    outcomes = deliver(_batch(count), broker.attempt, NEVER)
    assert outcomes == [Rejected("refused") if number in guilty else SENT for number in range(count)]
    assert broker.taken == [b"%d" % number for number in range(count) if number not in guilty]


def test_without_time_to_find_out_nobody_is_rejected() -> None:
    assert deliver(_batch(4), Broker({b"2"}).attempt, PAST) == [Retry("refused")] * 4


def test_other_outcomes_are_left_as_they_are() -> None:
    judgements: list[Judgement] = [SENT, Retry("r"), Unavailable("u"), Rejected("x")]
    assert deliver(_batch(4), lambda _: judgements, NEVER) == judgements


def test_a_lone_suspect_is_guilty() -> None:
    assert deliver(_batch(2), lambda _: [SENT, Suspect("refused")], NEVER) == [SENT, Rejected("refused")]
