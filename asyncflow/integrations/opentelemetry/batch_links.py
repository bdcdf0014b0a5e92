"""What a batch is linked to: the contexts of its records, in parts that a span can hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from asyncflow.integrations.opentelemetry.row_context import TRACEPARENT, TRACESTATE, context_of
from asyncflow.scheduler import Record

MOST_LINKS = 128  # that the SDK keeps of a span, by default
_SAMPLED = b"13579bdf"  # last digits of flags, of which the lowest bit says so


class SpanPart(NamedTuple):
    """Hold how many records one span stands for, and the context and message id of each that is traced."""

    records: int
    links: Sequence[tuple[Any, str]]


def parts_of(records: Sequence[Record]) -> list[SpanPart]:
    """Return the parts of a batch; each record is of one, those that are not traced of the first.

    To a context that is not sampled nobody need be linked: there is no span behind it.
    """
    links = _links(records)
    first = list(islice(links, MOST_LINKS))
    parts = []
    while more := list(islice(links, MOST_LINKS)):
        parts.append(SpanPart(len(more), more))
    return [SpanPart(len(records) - sum(part.records for part in parts), first), *parts]


def most_parts_of(records: Sequence[Record]) -> int:
    """Return how many parts a batch has at most."""
    return -(-len(records) // MOST_LINKS)


def _links(records: Sequence[Record]) -> Iterator[tuple[Any, str]]:
    for record in records:
        if len(record.headers) > 3:  # more than each has
            traceparent = _value_of(record.headers)
            if traceparent[-1:] in _SAMPLED and traceparent:
                headers = dict(record.headers)
                state = headers.get(TRACESTATE, b"")
                context = context_of(traceparent.decode(errors="replace"), state.decode(errors="replace"))
                if context is not None and context.trace_flags.sampled:
                    yield context, headers.get("message-id", b"").decode(errors="replace")


def _value_of(headers: Sequence[tuple[str, bytes]]) -> bytes:
    for name, value in headers:
        if name == TRACEPARENT:
            return value
    return b""
