"""Attempts that one thread makes one after the other: most are dropped, and have one context, made once."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from asyncflow.integrations.opentelemetry.dropped import dropped_kind
from asyncflow.integrations.opentelemetry.extras import opentelemetry
from asyncflow.integrations.opentelemetry.head import HeadSampling
from asyncflow.integrations.opentelemetry.starting import Starting
from asyncflow.outbox.declarations.around import StandsBriefly, StandsInTurn

_LOG = logging.getLogger("asyncflow")
Attempted = Callable[[Any, Any], AbstractContextManager[None]]  # of a tracer and a TaskContext


class InTurn(StandsInTurn):
    """Decide of each attempt of one thread; the Dropped at hand is one, until somebody asks for its ids.

    Then it stays that of the attempt in which they were asked for, and the next attempt has another. Any thread may
    ask, for a context at hand is handed on.
    """

    def __init__(self, hook: StandsBriefly, head: HeadSampling, starting: Starting, attempted: Attempted) -> None:
        self.hook = hook
        self._head = head
        self._starting = starting
        self._attempted = attempted
        self._attach = opentelemetry("context").attach
        self._tracer: Any = None  # of the attempt that is kept
        self._trace_id = 0  # of the attempt that is dropped; 0: drawn where somebody asks
        self._left = head.dropped_ahead() if head.can_look_ahead else 0  # attempts that are dropped
        self._renew()

    def begin(self) -> contextvars.Context | None:
        """Return a copy of the context in which the Dropped is at hand; None where the span is kept."""
        try:
            if self._left:
                self._left -= 1
            elif (kept_id := self._kept_id()) is not None:
                self._tracer = self._head.drawing(kept_id)
                return None
            # In this order: who asks meanwhile is seen to, or reads what is of this attempt.
            if self._is_asked:
                self._renew()
            return self._prepared.copy()
        except Exception:  # noqa: BLE001 - told in the log; the work goes on
            _LOG.exception("What is to be sampled could not be told")
            self._tracer = self._starting.tracer
            return None

    def around_kept(self, ctx: Any, /) -> AbstractContextManager[None]:
        """Trace the attempt that is kept."""
        return self._attempted(self._tracer, ctx)

    def context_of(self, _: int, parent: Any) -> Any:
        """Return the SpanContext of the Dropped at hand."""
        self._is_asked = True
        return self._head.context_of(self._trace_id or self._head.dropped_id(), parent)

    def _kept_id(self) -> int | None:
        """Return the trace id of the next attempt if that is kept; called where none is left that is dropped."""
        if self._head.can_look_ahead:
            self._left = self._head.dropped_ahead()
            return self._head.kept_id()
        trace_id: int = self._head.draw()
        if self._head.keeps(trace_id):
            return trace_id
        self._trace_id = trace_id
        return None

    def _renew(self) -> None:
        self._is_asked = False
        dropped = dropped_kind()(self, self._trace_id)
        self._prepared = contextvars.copy_context()
        self._prepared.run(self._attach, self._starting.context_with(dropped))
