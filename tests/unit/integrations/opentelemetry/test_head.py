"""The head of traces: what is known beforehand is what the tracer of the SDK would have decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from asyncflow.integrations.opentelemetry import Tracing
from asyncflow.integrations.opentelemetry.head import HeadSampling
from asyncflow.integrations.opentelemetry.starting import Starting

SAMPLERS = [
    ParentBasedTraceIdRatio(0.25),
    ParentBased(TraceIdRatioBased(0.5)),
    ParentBased(ALWAYS_ON),
    TraceIdRatioBased(0.25),
    TraceIdRatioBased(1e-9),
    ALWAYS_ON,
    ALWAYS_OFF,
    DEFAULT_ON,
    DEFAULT_OFF,
]
PARENTS = {
    "none": None,
    "sampled": SpanContext(5, 7, True, TraceFlags(1), TraceState([("vendor", "1")])),
    "not sampled": SpanContext(2**64 - 5, 7, True, TraceFlags(0), TraceState([("vendor", "1")])),
    "random": SpanContext(2**63, 7, False, TraceFlags(2)),
}


class Spread(RandomIdGenerator):
    """Generate trace ids whose low halves are spread evenly."""

    def __init__(self) -> None:
        self._ids = iter(range(2**100, 2**100 + 2**64, 2**58))

    def generate_trace_id(self) -> int:
        return next(self._ids)


class Odd(Sampler):
    """Keep the spans of some names, which nobody can know beforehand."""

    def should_sample(self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_AND_SAMPLE if name == "process odd" else Decision.DROP)

    def get_description(self) -> str:
        return "TraceIdRatioBased{0.5}"  # whatever it says


def tracer_with(sampler: Sampler) -> Any:
    return TracerProvider(sampler=sampler, id_generator=Spread()).get_tracer("test")


def facts(span: Any) -> tuple[Any, ...]:
    context = span.get_span_context()
    return (context.trace_id, context.trace_flags, context.trace_state, context.is_remote, span.is_recording())


@pytest.mark.parametrize("parent", PARENTS.values(), ids=PARENTS)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=Sampler.get_description)
def test_every_span_is_kept_or_dropped_as_the_sdk_does_it(sampler: Sampler, parent: SpanContext | None) -> None:
    above = None if parent is None else set_span_in_context(NonRecordingSpan(parent))
    asked, told = tracer_with(sampler), tracer_with(sampler)
    head = HeadSampling.of(told)
    assert head is not None
    for _ in range(50):
        tracer, dropped = head.begin(parent)
        span = dropped if tracer is None else tracer.start_span("x", context=above)
        assert facts(span) == facts(asked.start_span("x", context=above))
        assert (tracer is None) == (not span.is_recording())


def test_the_ids_of_what_is_dropped_are_made_once_and_are_valid() -> None:
    head = HeadSampling.of(tracer_with(ALWAYS_OFF))
    assert head is not None
    (_, one), (_, other) = head.begin(None), head.begin(None)
    assert one.get_span_context() is one.get_span_context()
    assert one.get_span_context().is_valid
    assert one.get_span_context() != other.get_span_context()
    assert "NonRecordingSpan" in repr(one)


class Other:
    """Be a tracer of somebody else's."""

    sampler = ALWAYS_OFF


@pytest.mark.parametrize(
    "tracer",
    [
        tracer_with(Odd()),
        tracer_with(ParentBased(ALWAYS_ON, local_parent_not_sampled=ALWAYS_ON)),
        tracer_with(ParentBased(Odd())),
        trace.NoOpTracer(),
        Other(),
    ],
    ids=["own sampler", "other parents", "own root", "no SDK", "other tracer"],
)
def test_of_what_decides_otherwise_nothing_is_known(tracer: Any) -> None:
    assert HeadSampling.of(tracer) is None


def test_a_sampler_of_ones_own_is_asked_with_the_name() -> None:
    tracing = Tracing(TracerProvider(sampler=Odd()))
    for name, is_kept in (("odd", True), ("even", False)):
        with tracing.process(name, {}):
            assert trace.get_current_span().is_recording() is is_kept


def test_a_provider_that_is_named_after_the_outbox_was_made_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    starting = Starting(None)
    assert starting.begin()[1] is None
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: TracerProvider(sampler=ALWAYS_OFF))
    assert starting.begin()[0] is None


class Failing(RandomIdGenerator):
    def generate_trace_id(self) -> int:
        raise RuntimeError("of the generator")


def test_a_generator_that_fails_disturbs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tracing = Tracing(TracerProvider(sampler=ALWAYS_OFF, id_generator=Failing()))
    with tracing.process("users", {}):
        pass
    assert "could not be told" in caplog.text


def test_what_is_at_hand_stays_beside_a_span_that_is_dropped() -> None:

    tracing = Tracing(TracerProvider(sampler=ALWAYS_OFF))
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        with tracing.process("users", {}):
            assert baggage.get_baggage("tenant") == "acme"
            assert trace.get_current_span().get_span_context().is_valid
        assert trace.get_current_span() is trace.INVALID_SPAN
    finally:
        context.detach(token)


@pytest.fixture(autouse=True)
def nothing_at_hand() -> Iterator[None]:
    """Leave no span at hand behind."""
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN
