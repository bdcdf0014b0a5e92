"""The W3C trace context that travels in the headers of rows and records: written, and read back.

By hand, for each message of a batch is read: a propagator takes ten times as long. Baggage stays at home, for it may
hold what is nobody else's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from asyncflow.integrations.opentelemetry.extras import opentelemetry

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
_SHAPE = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def headers_of_context(context: Any) -> dict[str, str]:
    """Return the headers that carry a SpanContext; none of one that is not valid."""
    if not context.is_valid:
        return {}
    headers = {TRACEPARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"}
    if state := context.trace_state.to_header():
        headers[TRACESTATE] = state
    return headers


def has_context(headers: Iterable[str]) -> bool:
    """Tell whether headers of these names carry a context, whoever wrote it."""
    return TRACEPARENT in map(str.lower, headers)


def context_in(headers: Mapping[str, str]) -> Any:
    """Return the SpanContext that headers carry; None if there is none, or none that can be read."""
    named = {name.lower(): value for name, value in headers.items()}
    return context_of(named.get(TRACEPARENT, ""), named.get(TRACESTATE, ""))


def context_of(traceparent: str, tracestate: str = "") -> Any:
    """Return the SpanContext of the two headers; None where the first cannot be read."""
    found = _SHAPE.fullmatch(traceparent.strip())
    if found is None or (found[4] and traceparent.startswith("00")):
        return None
    trace = opentelemetry("trace")
    states = opentelemetry("trace.span").TraceState
    context = trace.SpanContext(
        int(found[1], 16),
        int(found[2], 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(found[3], 16)),
        trace_state=states.from_header([tracestate]) if tracestate else None,
    )
    return context if context.is_valid else None
