"""The context that travels: read as OpenTelemetry's own propagator reads it, and written as that writes it."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from asyncflow.conventions.names import Origin, origin_of
from asyncflow.integrations.opentelemetry.batch_links import MOST_LINKS, parts_of
from asyncflow.integrations.opentelemetry.row_context import context_in, has_context, headers_of_context
from asyncflow.scheduler import Record

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TEXTS = [
    f"00-{TRACE_ID}-{SPAN_ID}-01",
    f"00-{TRACE_ID}-{SPAN_ID}-00",
    f"cc-{TRACE_ID}-{SPAN_ID}-01-what-comes-later",
    f"00-{TRACE_ID}-{SPAN_ID}-01-too-much",
    f"ff-{TRACE_ID}-{SPAN_ID}-01",
    f"00-{'0' * 32}-{SPAN_ID}-01",
    f"00-{TRACE_ID}-{'0' * 16}-01",
    f"00-{TRACE_ID[1:]}-{SPAN_ID}-01",
    "",
    "nonsense",
]


def by_propagator(headers: dict[str, str]) -> Any:
    context = TraceContextTextMapPropagator().extract(headers)
    found = trace.get_current_span(context).get_span_context()
    return found if found.is_valid else None


@pytest.mark.parametrize("state", ["", "vendor=1,other=2"])
@pytest.mark.parametrize("text", TEXTS)
def test_what_travels_is_read_as_the_propagator_reads_it(text: str, state: str) -> None:
    headers = {"traceparent": text, "tracestate": state}
    found, expected = context_in(headers), by_propagator(headers)
    assert found == expected
    if found is not None:
        assert found.trace_state == expected.trace_state
        assert found.is_remote


@pytest.mark.parametrize("state", [None, trace.TraceState([("vendor", "1")])])
def test_what_is_written_is_what_the_propagator_writes(state: Any) -> None:
    context = trace.SpanContext(int(TRACE_ID, 16), int(SPAN_ID, 16), True, trace.TraceFlags(1), state)
    expected: dict[str, str] = {}
    at_hand = trace.set_span_in_context(trace.NonRecordingSpan(context))
    TraceContextTextMapPropagator().inject(expected, at_hand)
    assert headers_of_context(context) == expected
    assert context_in(expected) == context


def test_a_context_that_is_none_leaves_no_headers() -> None:
    assert headers_of_context(trace.INVALID_SPAN_CONTEXT) == {}
    assert has_context(["Traceparent"])
    assert not has_context(["tracestate"])


def record(number: int, flags: str | None) -> Record:
    headers = [("message-id", str(number).encode()), ("message-type", b"t"), ("content-type", b"application/json")]
    if flags is not None:
        headers.append(("traceparent", f"00-{TRACE_ID}-{number + 1:016x}-{flags}".encode()))
    return Record("topic", None, b"", headers)


@pytest.mark.parametrize("count", [1, MOST_LINKS, MOST_LINKS + 1, 1000])
def test_every_record_that_is_traced_is_linked_by_one_span_and_each_record_is_counted_once(count: int) -> None:
    flags = {0: "01", 1: "00", 2: None, 3: "03"}
    batch = [record(number, flags[number % 4]) for number in range(count)]
    parts = parts_of(batch)
    assert sum(part.records for part in parts) == count
    assert all(len(part.links) <= MOST_LINKS for part in parts)
    links = [(context.span_id, message_id) for part in parts for context, message_id in part.links]
    assert links == [(number + 1, str(number)) for number in range(count) if number % 4 in (0, 3)]


def test_a_batch_of_nobody_who_is_traced_is_one_part() -> None:
    assert parts_of([record(1, None), record(2, "00"), record(3, "zz"), record(4, "")]) == [(4, [])]


@pytest.mark.parametrize("place", ["orders/3/17", "a/b/3/17"])
def test_a_consumed_message_is_named_by_the_place_from_which_it_came(place: str) -> None:
    assert origin_of("count", {"from-place": place}) == Origin("kafka", place.rsplit("/", 2)[0], "3", 17)


@pytest.mark.parametrize("place", ["", "orders", "orders/x/17", "orders/3/y", "/3/17"])
def test_any_other_task_is_named_by_its_type(place: str) -> None:
    assert origin_of("count", {"from-place": place}) == Origin("asyncflow", "count")
    assert origin_of("count", {}) == Origin("asyncflow", "count")
