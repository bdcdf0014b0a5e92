"""Tracing: spans of what is created, sent and processed, joined by the context that travels with each message."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any
from uuid import UUID

from asyncflow.conventions.names import (
    BATCH,
    ERROR_TYPE,
    GROUP,
    MESSAGE_ID,
    OFFSET,
    OWN_SYSTEM,
    Origin,
    first_failure,
    named,
    origin_of,
    sending,
)
from asyncflow.integrations.opentelemetry.batch_links import SpanPart, most_parts_of, parts_of
from asyncflow.integrations.opentelemetry.dropped import AtHand
from asyncflow.integrations.opentelemetry.extras import opentelemetry
from asyncflow.integrations.opentelemetry.in_turn import InTurn
from asyncflow.integrations.opentelemetry.processing import LONGEST_TEXT, Processing, tell_of
from asyncflow.integrations.opentelemetry.row_context import context_in, has_context, headers_of_context
from asyncflow.integrations.opentelemetry.starting import Starting
from asyncflow.outbox import MessageType
from asyncflow.outbox.declarations.around import StandsBriefly
from asyncflow.outbox.declarations.handler_type import HandlerType
from asyncflow.outbox.declarations.outbox_hooks import Factory
from asyncflow.outbox.declarations.task_type import TaskType
from asyncflow.outbox.enqueuing import Enqueuing, UnwrittenTask
from asyncflow.scheduler import TaskContext
from asyncflow.scheduler.publishing.delivering import Delivering
from asyncflow.text import without_parameters

_LOG = logging.getLogger("asyncflow")
_NOTHING = nullcontext()  # around work of which no span is kept


class Tracing(StandsBriefly):
    """Be the hook of an outbox that traces it: ``Outbox(metadata, hooks=[Tracing()])``.

    ``create TOPIC`` (PRODUCER) is made at each enqueue, as a child of the span at hand, and its context travels in the
    task's headers; ``send TOPIC`` (CLIENT) is linked to those of its batch, ``process TYPE`` (CONSUMER), of a handler
    or of a consumer's subscriber, to that of its task. A ``traceparent`` that the caller gave stays, and no span
    is created then. Of a task that is delivered or done several times each has a span of its own.

    ``create_spans``: False lets the span at hand, such as that of a request, travel instead.
    ``as_children``: True makes ``send`` and ``process`` children of what they are linked to, a batch of its first, so
    that one decision to sample holds for all; the conventions want links alone.
    Raises MissingExtraError.
    """

    def __init__(self, tracer_provider: Any = None, *, create_spans: bool = True, as_children: bool = False) -> None:
        self._trace = opentelemetry("trace")
        self._context = opentelemetry("context")
        self._kinds = self._trace.SpanKind
        self._failed = self._trace.StatusCode.ERROR
        self._starting = Starting(tracer_provider)
        self._creates = create_spans
        self._as_children = as_children

    # -- created -----------------------------------------------------------------------------------------

    def around_enqueue(self, enqueuing: Enqueuing) -> AbstractContextManager[None]:
        """Create the spans of new tasks, or let them carry the span at hand."""
        spans = self._created(enqueuing) if self._creates else self._carried(enqueuing)
        return self._ending(spans) if spans else _NOTHING

    def _created(self, enqueuing: Enqueuing) -> list[Any]:
        spans = []
        for task in enqueuing.tasks:
            if not has_context(task.headers):
                tracer, dropped = self._starting.begin()
                span = self._create(tracer, enqueuing.task_type, task.id) if dropped is None else dropped
                if (dropped is None and _is_kept(span)) or self._is_needed(enqueuing.task_type, task):
                    task.carry(headers_of_context(span.get_span_context()))
                if dropped is None:
                    spans.append(span)
        return spans

    def _create(self, tracer: Any, kind: TaskType, task_id: UUID) -> Any:
        name = (kind.topic if isinstance(kind, MessageType) else kind.name) or kind.name
        told = {**named("create", Origin(OWN_SYSTEM, name)), MESSAGE_ID: str(task_id)}
        return self._starting.start(tracer, f"create {name}", kind=self._kinds.PRODUCER, attributes=told)

    def _carried(self, enqueuing: Enqueuing) -> list[Any]:
        at_hand = self._trace.get_current_span()
        headers, is_kept = headers_of_context(at_hand.get_span_context()), _is_kept(at_hand)
        for task in enqueuing.tasks:
            if not has_context(task.headers) and (is_kept or self._is_needed(enqueuing.task_type, task)):
                task.carry(headers)
        return []

    def _is_needed(self, kind: TaskType, task: UnwrittenTask) -> bool:
        """Tell whether somebody may go by the context of a span that nobody keeps.

        A handler here does not: there is nothing that its span could be linked to.
        """
        is_done_here = isinstance(kind, HandlerType) and kind.handler is not None and kind.queue is None
        return self._as_children or not is_done_here or task.leads_on

    @contextmanager
    def _ending(self, spans: Sequence[Any]) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            for span in spans:
                tell_of(error, span, self._failed)
            raise
        finally:
            for span in spans:
                self._starting.end(span)

    # -- sent --------------------------------------------------------------------------------------------

    def around_delivery(self, delivering: Delivering) -> AbstractContextManager[None]:
        """Trace a batch, as so many spans as its links need."""
        if self._as_children:
            parts = parts_of(delivering.records)
            return self._sending(delivering, [(part, *self._starting.begin(_first_of(part))) for part in parts])
        # Decided before anything is looked for in the records, as often as there can be parts.
        begun = [self._starting.begin() for _ in range(most_parts_of(delivering.records))]
        if all(tracer is None for tracer, _ in begun):
            return _NOTHING
        parts = parts_of(delivering.records)
        return self._sending(delivering, [(part, *one) for part, one in zip(parts, begun, strict=False)])

    @contextmanager
    def _sending(self, delivering: Delivering, parts: Iterable[tuple[SpanPart, Any, Any]]) -> Iterator[None]:
        told = sending(delivering)
        name = f"send {told.get('messaging.destination.name', delivering.destination)}"
        spans = [self._sent(tracer, name, told, part) for part, tracer, _ in parts if tracer is not None]
        try:
            yield
        finally:
            failure = first_failure(delivering.outcomes) if spans else None
            for span in spans:
                if failure is not None:
                    span.set_attribute(ERROR_TYPE, failure[0])
                    span.set_status(self._failed, without_parameters(failure[1])[:LONGEST_TEXT])
                self._starting.end(span)

    def _sent(self, tracer: Any, name: str, told: Mapping[str, Any], part: SpanPart) -> Any:
        return self._starting.start(
            tracer,
            name,
            context=self._below(_first_of(part)),
            kind=self._kinds.CLIENT,
            attributes={**told, BATCH: part.records},
            links=[self._trace.Link(context, {MESSAGE_ID: message_id}) for context, message_id in part.links],
        )

    # -- processed ---------------------------------------------------------------------------------------

    def around_attempt(self, ctx: TaskContext) -> AbstractContextManager[None]:
        """Trace an attempt of a handler, or of a consumer's subscriber, as the span at hand."""
        context = context_in(ctx.headers) if self._as_children else None
        tracer, dropped = self._starting.begin(context)
        return self._attempted(tracer, ctx) if dropped is None else self._standing(dropped)

    def begin_attempt(self) -> Factory | None:
        """Let the span of an attempt stand at hand that is dropped; else return what stands around the attempt."""
        if self._as_children:
            return self.around_attempt  # it goes by the headers
        tracer = self._starting.stand()
        return None if tracer is None else partial(self._attempted, tracer)

    def in_turn(self) -> InTurn | None:
        """Return what stands around the attempts of the calling thread; None where each is to be looked at."""
        if self._as_children or (head := self._starting.head_of_new()) is None:
            return None
        try:
            return InTurn(self, head, self._starting, self._attempted)
        except Exception:  # noqa: BLE001 - told in the log; each attempt is looked at by itself
            _LOG.exception("What is to stand around attempts could not be made")
            return None

    def _attempted(self, tracer: Any, ctx: TaskContext) -> AbstractContextManager[None]:
        origin = origin_of(ctx.task_type, ctx.headers)
        told = {MESSAGE_ID: ctx.headers.get("from-message", str(ctx.id)), "asyncflow.attempt": ctx.attempt}
        if origin.system != OWN_SYSTEM:
            told |= {OFFSET: origin.offset, "asyncflow.subscriber": ctx.task_type}
        return self._processed(tracer, origin, ctx.headers, told)

    def process(
        self,
        destination: str,
        headers: Mapping[str, str],
        *,
        system: str = "kafka",
        message_id: str | None = None,
        group: str | None = None,
    ) -> AbstractContextManager[None]:
        """Trace a message that a consumer of one's own takes, ``with tracing.process(topic, headers): ...``.

        For a loop over ``inbox.process_once``, inside and with its commit. ``headers`` are the message's, as text.
        """
        tracer, dropped = self._starting.begin(context_in(headers) if self._as_children else None)
        if dropped is not None:
            return self._standing(dropped)
        told = {name: value for name, value in ((MESSAGE_ID, message_id), (GROUP, group)) if value is not None}
        return self._processed(tracer, Origin(system, destination), headers, told)

    def _standing(self, dropped: Any) -> AbstractContextManager[None]:
        """Let what the work does be dropped as well: it would begin traces of its own."""
        return AtHand(self._context, self._starting.context_with(dropped))

    def _processed(
        self, tracer: Any, origin: Origin, headers: Mapping[str, str], told: Mapping[str, Any]
    ) -> AbstractContextManager[None]:
        return Processing(self._starting, partial(self._process, tracer, origin, headers, told), self._failed)

    def _process(self, tracer: Any, origin: Origin, headers: Mapping[str, str], told: Mapping[str, Any]) -> Any:
        context = context_in(headers)
        return self._starting.start(
            tracer,
            f"process {origin.destination}",
            context=self._below(context),
            kind=self._kinds.CONSUMER,
            attributes={**named("process", origin), **told},
            links=[] if context is None else [self._trace.Link(context)],
        )

    # -- common ------------------------------------------------------------------------------------------

    def _below(self, context: Any) -> Any:
        """Return in which context a span that is linked begins; None for that at hand."""
        if context is None or not self._as_children:
            return None
        return self._trace.set_span_in_context(self._trace.NonRecordingSpan(context))


def _is_kept(span: Any) -> bool:
    return bool(span.is_recording() or span.get_span_context().trace_flags.sampled)


def _first_of(part: SpanPart) -> Any:
    return part.links[0][0] if part.links else None
