from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from asyncflow import MessageType


def message_type(first: float, ceiling: float) -> MessageType:
    return MessageType(
        name="coupon",
        destination="kafka",
        topic="coupon",
        retry_interval_seconds=first,
        max_retry_interval_seconds=ceiling,
    )


def test_the_interval_doubles_up_to_its_ceiling() -> None:
    delays = [message_type(1, 10).retry_delay(count) for count in range(1, 8)]
    assert delays == [1, 2, 4, 8, 10, 10, 10]


def test_the_defaults_are_one_second_and_ten() -> None:
    kind = MessageType(name="coupon", destination="kafka", topic="coupon")
    assert [kind.retry_delay(count) for count in (1, 2, 5, 1000)] == [1, 2, 10, 10]


def test_an_interval_of_nothing_stays_nothing() -> None:
    assert message_type(0, 0).retry_delay(50) == 0


intervals = st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)).map(sorted)


@given(intervals, st.integers(1, 10**12))
def test_it_is_what_the_sequence_says_and_never_overflows(bounds: list[float], count: int) -> None:
    first, ceiling = bounds
    delay = message_type(first, ceiling).retry_delay(count)
    assert delay == min(first * 2.0 ** min(count - 1, 100), ceiling) or (first * 2.0**60 < ceiling)
    assert first <= delay <= ceiling
    timedelta(seconds=delay)


@given(intervals, st.integers(1, 200))
def test_it_never_shrinks(bounds: list[float], count: int) -> None:
    kind = message_type(*bounds)
    assert kind.retry_delay(count) <= kind.retry_delay(count + 1)
