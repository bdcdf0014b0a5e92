"""Attempts that one thread makes in turn: each is decided by itself, with ids of its own where they are asked for."""

from __future__ import annotations

import contextvars
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased

from asyncflow.integrations.opentelemetry import Tracing
from asyncflow.integrations.opentelemetry.in_turn import InTurn

SEEN: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


class Spread(RandomIdGenerator):
    """Generate trace ids whose low halves are spread evenly."""

    def __init__(self) -> None:
        self._ids = iter(range(2**100, 2**100 + 2**64, 2**58))

    def generate_trace_id(self) -> int:
        return next(self._ids)


class Failing(RandomIdGenerator):
    def generate_trace_id(self) -> int:
        raise RuntimeError("of the generator")


def in_turn_of(sampler: Any = ALWAYS_OFF, ids: Any = None) -> InTurn:
    made = Tracing(TracerProvider(sampler=sampler, id_generator=ids)).in_turn()
    assert made is not None
    return made


def attempted(in_turn: InTurn, work: Callable[[], Any]) -> Any:
    """Do what a hand does with an attempt that is dropped."""
    where = in_turn.begin()
    assert where is not None
    return where.run(work)


def at_hand() -> Any:
    return trace.get_current_span().get_span_context()


def test_each_attempt_has_ids_of_its_own_that_stay_while_it_lasts() -> None:
    in_turn = in_turn_of()
    asked = [attempted(in_turn, lambda: (at_hand(), at_hand())) for _ in range(5)]
    assert all(first is again for first, again in asked)
    assert all(one.is_valid and not one.trace_flags.sampled for one, _ in asked)
    assert len({one.trace_id for one, _ in asked}) == len({one.span_id for one, _ in asked}) == 5
    assert at_hand() is trace.INVALID_SPAN_CONTEXT


def test_what_an_attempt_begins_below_it_is_dropped_and_of_its_trace() -> None:
    tracer = TracerProvider(sampler=ParentBased(TraceIdRatioBased(1.0))).get_tracer("of the handler")
    in_turn = in_turn_of()

    def work() -> tuple[int, int]:
        with tracer.start_as_current_span("below") as below:
            assert not below.is_recording()
        return below.get_span_context().trace_id, at_hand().trace_id

    traces = [attempted(in_turn, work) for _ in range(3)]
    assert all(of_span == of_attempt for of_span, of_attempt in traces)
    assert len(set(traces)) == 3


def test_a_context_that_is_handed_on_to_a_thread_has_the_ids_of_its_attempt() -> None:
    in_turn = in_turn_of()

    def ask(handed_on: Any, told: list[Any]) -> None:
        context.attach(handed_on)
        told.append(at_hand())

    def work() -> None:
        told: list[Any] = []
        thread = threading.Thread(target=ask, args=(context.get_current(), told))
        thread.start()
        thread.join(60)
        assert told == [at_hand()]
        later.append((told[0], trace.get_current_span()))

    later: list[tuple[Any, Any]] = []
    for _ in range(3):
        attempted(in_turn, work)
    assert all(span.get_span_context() is told for told, span in later)  # also when it is over
    assert len({told.trace_id for told, _ in later}) == 3


def test_as_many_are_kept_as_the_sampler_says_and_these_are_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    in_turn = in_turn_of(TraceIdRatioBased(0.25), Spread())
    kept: list[Any] = []

    def attempted_with(tracer: Any, _: Any) -> Any:
        kept.append(tracer.start_span("x"))
        return nullcontext()

    monkeypatch.setattr(in_turn, "_attempted", attempted_with)
    for _ in range(64):
        if in_turn.begin() is None:
            in_turn.around_kept(None)
    assert len(kept) == 16
    assert all(span.is_recording() for span in kept)


@pytest.mark.parametrize(
    ("sampler", "least", "most"),
    [
        (TraceIdRatioBased(0.01), 1_800, 2_200),
        (TraceIdRatioBased(0.5), 99_000, 101_000),
        (TraceIdRatioBased(1e-19), 0, 0),
        (ALWAYS_ON, 200_000, 200_000),
        (ALWAYS_OFF, 0, 0),
    ],
    ids=["of 0.01", "of 0.5", "of next to none", "of all", "of none"],
)
def test_of_random_ids_as_many_are_kept_as_the_sampler_says(sampler: Any, least: int, most: int) -> None:
    state = random.getstate()
    random.seed(15)
    try:
        in_turn = in_turn_of(sampler)
        kept = sum(in_turn.begin() is None for _ in range(200_000))
    finally:
        random.setstate(state)
    assert least <= kept <= most


def test_ids_of_attempts_agree_with_what_is_kept_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = TraceIdRatioBased(0.5)
    in_turn = in_turn_of(sampler)
    monkeypatch.setattr(in_turn, "_attempted", lambda tracer, _: nullcontext(tracer.start_span("x")))
    kept, dropped = set(), set()
    for _ in range(200):
        if (where := in_turn.begin()) is None:
            span: Any = in_turn.around_kept(None).__enter__()
            assert span.is_recording()
            kept.add(span.get_span_context().trace_id)
        else:
            dropped.add(where.run(at_hand).trace_id)
    assert len(kept) + len(dropped) == 200
    assert all(low_half(one) < sampler.bound for one in kept)
    assert all(low_half(one) >= sampler.bound for one in dropped)
    assert len({one >> 64 for one in kept | dropped}) == 200  # the other halves are random, too


def low_half(trace_id: int) -> int:
    return trace_id & TraceIdRatioBased.TRACE_ID_LIMIT


def test_variables_that_an_attempt_sets_do_not_reach_the_next_one() -> None:
    in_turn = in_turn_of()
    attempted(in_turn, lambda: SEEN.set("a task"))
    assert attempted(in_turn, SEEN.get) == "nothing"
    attempted(in_turn, lambda: context.attach(baggage.set_baggage("tenant", "acme")))
    assert attempted(in_turn, lambda: baggage.get_baggage("tenant")) is None


def test_where_something_is_at_hand_or_goes_by_headers_each_attempt_is_looked_at() -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF)
    assert Tracing(provider, as_children=True).in_turn() is None
    assert Tracing(trace.NoOpTracerProvider()).in_turn() is None
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        assert Tracing(provider).in_turn() is None
    finally:
        context.detach(token)


def test_a_generator_that_fails_disturbs_no_attempt(caplog: pytest.LogCaptureFixture) -> None:
    in_turn = in_turn_of(ids=Failing())
    assert in_turn.begin() is None
    assert "could not be told" in caplog.text


@pytest.fixture(autouse=True)
def nothing_at_hand() -> Iterator[None]:
    """Leave no span at hand behind."""
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN
