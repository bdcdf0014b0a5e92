"""What watches a benchmark's own side, by options of the command: metrics, and tracing of a share of the messages.

Told to the processes of a benchmark by their environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

from asyncflow import Outbox
from asyncflow.events import Hook

METRICS, TRACING = "ASYNCFLOW_BENCH_METRICS", "ASYNCFLOW_BENCH_TRACING"


def watch(*, metrics: bool, tracing: float | None) -> None:
    """Let this process, and those it starts, be watched from now on."""
    os.environ[METRICS] = "yes" if metrics else ""
    os.environ[TRACING] = "" if tracing is None else str(tracing)


@contextmanager
def watched(*, metrics: bool, tracing: float | None) -> Iterator[None]:
    """Let what is made meanwhile be watched so, and what is made afterwards as before."""
    before = {name: os.environ.get(name, "") for name in (METRICS, TRACING)}
    watch(metrics=metrics, tracing=tracing)
    try:
        yield
    finally:
        os.environ.update(before)


def trace(outbox: Outbox) -> None:
    """Trace what the outbox enqueues, sends and does, if that is asked for; the spans go nowhere."""
    if not (share := os.environ.get(TRACING)):
        return
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    from asyncflow.integrations.opentelemetry import Tracing

    class Nowhere(SpanExporter):
        def export(self, spans: Sequence[Any]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(float(share)))
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    outbox.hooks.add(Tracing(provider))


def hooks_for(engine: Engine, outbox: Outbox) -> list[Hook]:
    """Return the hooks of a scheduler: with metrics the one that counts, of a page that nobody scrapes."""
    if not os.environ.get(METRICS):
        return []
    from asyncflow.integrations.prometheus import MetricsPage

    return [MetricsPage(engine, outbox).hook]
