from __future__ import annotations

import threading

import pytest

from asyncflow.events import LoopRestarted, TickMisfired, UnknownTypeSeen
from asyncflow.scheduler import SENT, Outcome, Record, Retry
from asyncflow.testing import MemoryPublisher, Signals


def record(value: bytes) -> Record:
    return Record("topic", None, value, ())


def test_signals_keep_events_by_kind_and_in_order() -> None:
    signals = Signals()
    for event in (TickMisfired("a"), LoopRestarted("b"), TickMisfired("c")):
        signals(event)
    assert signals.of(TickMisfired) == [TickMisfired("a"), TickMisfired("c")]
    assert len(signals.events) == 3


def test_wait_for_returns_an_event_that_came_before() -> None:
    signals = Signals()
    signals(TickMisfired("a"))
    assert signals.wait_for(TickMisfired, timeout_seconds=0) == TickMisfired("a")


def test_wait_for_returns_an_event_that_comes_from_another_thread() -> None:
    signals = Signals()
    threading.Timer(0.01, signals, [TickMisfired("a")]).start()
    assert signals.wait_for(TickMisfired) == TickMisfired("a")


def test_wait_for_passes_over_events_that_do_not_fit() -> None:
    signals = Signals()
    for name in "abc":
        signals(UnknownTypeSeen(name))
    assert signals.wait_for(UnknownTypeSeen, lambda event: event.task_type == "c").task_type == "c"


def test_wait_for_tells_what_it_saw_instead() -> None:
    signals = Signals()
    signals(LoopRestarted("relay"))
    with pytest.raises(AssertionError, match=r"no TickMisfired within 0 s; saw .*LoopRestarted"):
        signals.wait_for(TickMisfired, timeout_seconds=0)


def test_the_memory_publisher_keeps_records_and_sends_all() -> None:
    publisher = MemoryPublisher()
    assert publisher.publish([record(b"1"), record(b"2")]) == [SENT, SENT]
    publisher.publish([record(b"3")])
    assert [each.value for each in publisher.records] == [b"1", b"2", b"3"]


def test_the_memory_publisher_answers_as_told() -> None:
    def answer(each: Record) -> Outcome:
        return Retry("busy") if each.value == b"1" else SENT

    assert MemoryPublisher(answer).publish([record(b"1"), record(b"2")]) == [Retry("busy"), SENT]


def test_the_memory_publisher_remembers_that_it_was_closed() -> None:
    publisher = MemoryPublisher()
    assert not publisher.closed
    publisher.close()
    publisher.close()
    assert publisher.closed
