"""Spans kept in memory."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Spans:
    """Provide tracers, and find by name what they have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def names(self) -> list[str]:
        return [span.name for span in self._exporter.get_finished_spans()]


class Ids(NamedTuple):
    """Tell one span from all others, wherever its context has travelled."""

    trace_id: int
    span_id: int


def context_of(span: ReadableSpan) -> Ids:
    context = span.get_span_context()
    assert context is not None
    return Ids(context.trace_id, context.span_id)


def links_of(span: ReadableSpan) -> list[Ids]:
    return [Ids(link.context.trace_id, link.context.span_id) for link in span.links]


@pytest.fixture
def spans() -> Spans:
    return Spans()
