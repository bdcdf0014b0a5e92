"""A span that is dropped: it stands at hand, so that what is below it is dropped, and has ids where somebody asks."""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

from asyncflow.integrations.opentelemetry.extras import opentelemetry
from asyncflow.outbox.declarations.around import SetsContext


class MakesContexts(Protocol):
    """Make the contexts of spans that are dropped."""

    def context_of(self, trace_id: int, parent: Any) -> Any:
        """Return the SpanContext of one."""
        ...


@cache
def dropped_kind() -> Any:
    """Return the class Dropped, which is one of the API's spans; raises MissingExtraError."""
    recordless: Any = opentelemetry("trace").NonRecordingSpan

    class Dropped(recordless):  # type: ignore[misc]
        """Stand for a span that is dropped, of a trace and perhaps below a parent; any thread may ask for its ids."""

        _parent: Any = None

        def __init__(self, head: MakesContexts, trace_id: int, parent: Any = None) -> None:
            self._head = head
            self._trace_id = trace_id
            if parent is not None:
                self._parent = parent

        @property
        def _context(self) -> Any:
            kept = self.__dict__
            if "made" not in kept:
                kept.setdefault("made", self._head.context_of(self._trace_id, self._parent))  # of who asks first
            return kept["made"]

    return Dropped


class AtHand(SetsContext):
    """Let an OpenTelemetry context be the one at hand; ``api`` is the module that knows which is.

    Made for one attempt, and used on its thread or in its coroutine.
    """

    __slots__ = ("_api", "_context", "_token")

    def __init__(self, api: Any, context: Any) -> None:
        self._api = api
        self._context = context

    def __enter__(self) -> None:
        self._token = self._api.attach(self._context)

    def __exit__(self, *_: object) -> None:
        self._api.detach(self._token)
