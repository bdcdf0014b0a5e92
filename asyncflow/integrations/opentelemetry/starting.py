"""The starting of spans: by which tracer, below what, and that no fault of an SDK disturbs the work."""

from __future__ import annotations

import logging
from typing import Any

from asyncflow.integrations.opentelemetry.extras import opentelemetry
from asyncflow.integrations.opentelemetry.head import HeadSampling

_SCOPE = "asyncflow"
_LOG = logging.getLogger("asyncflow")


class Starting:
    """Start spans and end them, on any thread; what is told is built for those alone that are kept."""

    def __init__(self, tracer_provider: Any) -> None:
        self._trace, self._context = opentelemetry("trace"), opentelemetry("context")
        self._provider = tracer_provider
        self._tracer = self._trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        # Where the API keeps the span at hand: to ask it for a context with one costs twice what making one does.
        (self._key,) = self._trace.set_span_in_context(self._trace.INVALID_SPAN, self._context.Context())
        self._head: HeadSampling | None = None
        self._is_found = False
        self._find()

    @property
    def tracer(self) -> Any:
        """Return the tracer that starts what is not decided beforehand."""
        return self._tracer

    def begin(self, context: Any = None) -> tuple[Any, Any]:
        """Return the tracer that is to start a span, or None and the Dropped that stands for it.

        ``context`` is the SpanContext above it; None: that of the span at hand, if there is one.
        """
        if not self._is_found:
            self._find()
        if self._head is None:
            return self._tracer, None
        try:
            return self._head.begin(self._above(self._context.get_current()) if context is None else context)
        except Exception:  # noqa: BLE001 - told in the log; the work goes on
            _LOG.exception("What is to be sampled could not be told")
            return self._tracer, None

    def stand(self) -> Any:
        """Let a Dropped be at hand and return None; of a span that is kept the tracer, and nothing stands at hand.

        Called in a context that nobody goes back from: in one call, for this is done for each task.
        """
        if not self._is_found:
            self._find()
        if self._head is None:
            return self._tracer
        try:
            now = self._context.get_current()
            tracer, dropped = self._head.begin(self._above(now) if now else None)
            if dropped is not None:
                self._context.attach(self._with(dropped, now))
        except Exception:  # noqa: BLE001 - told in the log; the work goes on
            _LOG.exception("What is to be sampled could not be told")
            return self._tracer
        return tracer

    def head_of_new(self) -> HeadSampling | None:
        """Return by what new traces are decided; None where it is not known, or a span is at hand."""
        if not self._is_found:
            self._find()
        try:
            return None if self._context.get_current() else self._head
        except Exception:  # noqa: BLE001 - told in the log; the work goes on
            _LOG.exception("What is at hand could not be told")
            return None

    def attach(self, span: Any) -> Any:
        """Let a span be at hand; return what ``detach`` takes."""
        return self._context.attach(self.context_with(span))

    def detach(self, token: Any) -> None:
        """Let be at hand again what was before."""
        self._context.detach(token)

    def context_with(self, span: Any) -> Any:
        """Return the context at hand, with a span as that at hand."""
        return self._with(span, self._context.get_current())

    def _with(self, span: Any, context: Any) -> Any:
        return self._trace.set_span_in_context(span, context) if context else self._context.Context({self._key: span})

    def start(self, tracer: Any, name: str, **given: Any) -> Any:
        """Start a span; where a sampler or processor fails, work goes on without one, and the log tells."""
        try:
            return tracer.start_span(name, **given)
        except Exception:  # noqa: BLE001 - told in the log; the work goes on
            _LOG.exception("The span %r could not be started", name)
            return self._trace.INVALID_SPAN

    def end(self, span: Any) -> None:
        """End a span."""
        try:
            span.end()
        except Exception:  # noqa: BLE001 - told in the log; the work goes on
            _LOG.exception("The span %r could not be ended", span)

    def _above(self, context: Any) -> Any:
        """Return the SpanContext of the span that is at hand in a context; None if there is none."""
        if not context:
            return None
        found = self._trace.get_current_span(context).get_span_context()
        return found if found.is_valid else None

    def _find(self) -> None:
        """Find the tracer: an application may name its provider after it has made its outbox."""
        provider = self._provider or self._trace.get_tracer_provider()
        if isinstance(provider, self._trace.ProxyTracerProvider):
            return
        self._tracer = provider.get_tracer(_SCOPE)
        self._head = HeadSampling.of(self._tracer)
        self._is_found = True
