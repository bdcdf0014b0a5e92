"""Spans of what is created, sent and processed: their kinds, what joins them, and what they tell of faults."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import orjson
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBasedTraceIdRatio
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import select
from sqlalchemy.orm import Session

from asyncflow import CancelTask, NotDone, RejectTask, Status
from asyncflow.integrations.opentelemetry import Tracing
from asyncflow.scheduler import SENT, DeadLetters, Outcome, Rejected, Selection, Unavailable
from asyncflow.testing import MemoryPublisher
from tests.integration.integrations.opentelemetry.conftest import Spans, context_of, links_of
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application

TOPIC = "user.registered"
MINE = f"00-{'ab' * 16}-{'cd' * 8}-01"


@pytest.fixture
def traced(sqlite_application: Application, spans: Spans) -> Application:
    sqlite_application.outbox.hooks.add(Tracing(spans.provider))
    return sqlite_application


def headers_on_rows(application: Application) -> list[dict[str, str]]:
    return [orjson.loads(row.headers or b"{}") for row in application.rows()]


def drained(application: Application, answer: Any = lambda _: SENT) -> MemoryPublisher:
    publisher = MemoryPublisher(answer)
    scheduler = application.scheduler(publisher)
    scheduler.drain()
    scheduler.stop()
    return publisher


def test_a_message_is_created_under_the_span_at_hand_and_sent_by_one_that_is_linked_to_it(
    traced: Application, spans: Spans
) -> None:
    tracer = spans.provider.get_tracer("test")
    with tracer.start_as_current_span("POST /users"), traced.session() as session, session.begin():
        task_id = traced.outbox.publish(session, TOPIC, {"account_no": "A1"}, key="A1")
    (record,) = drained(traced).records
    request, created, sent = spans.one("POST /users"), spans.one(f"create {TOPIC}"), spans.one(f"send {TOPIC}")
    assert (created.kind, sent.kind) == (SpanKind.PRODUCER, SpanKind.CLIENT)
    assert created.parent is not None
    assert created.parent.span_id == context_of(request).span_id
    assert sent.parent is None
    assert links_of(sent) == [context_of(created)]
    assert dict(created.attributes or {}) == {
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.system": "asyncflow",
        "messaging.destination.name": TOPIC,
        "messaging.message.id": str(task_id),
    }
    assert dict(sent.attributes or {}) == {
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.system": "kafka",
        "messaging.destination.name": TOPIC,
        "messaging.batch.message_count": 1,
    }
    assert dict(sent.links[0].attributes or {}) == {"messaging.message.id": str(task_id)}
    made = context_of(created)
    expected = f"00-{made.trace_id:032x}-{made.span_id:016x}-".encode()
    assert dict(record.headers)["traceparent"].startswith(expected)


def test_a_batch_is_one_span_linked_to_each_of_its_messages(traced: Application, spans: Spans) -> None:
    publish_many(traced, 300)
    drained(traced)
    sent = spans.named(f"send {TOPIC}")
    created = {context_of(span).span_id for span in spans.named(f"create {TOPIC}")}
    links = [link.span_id for span in sent for link in links_of(span)]
    assert len(created) == len(links) == 300
    assert set(links) == created
    counts = [(span.attributes or {})["messaging.batch.message_count"] for span in sent]
    assert sum(int(str(count)) for count in counts) == 300
    assert len(sent) < 10


@pytest.mark.parametrize("create_spans", [True, False])
def test_a_context_that_the_caller_gave_stays_and_nothing_is_created(
    sqlite_application: Application, spans: Spans, create_spans: bool
) -> None:
    sqlite_application.outbox.hooks.add(Tracing(spans.provider, create_spans=create_spans))
    with spans.provider.get_tracer("test").start_as_current_span("request"), sqlite_application.session() as session:
        sqlite_application.outbox.publish(session, TOPIC, {}, headers={"traceparent": MINE, "tenant": "t1"})
        session.commit()
    drained(sqlite_application)
    assert headers_on_rows(sqlite_application) == [{"traceparent": MINE, "tenant": "t1"}]
    assert sorted(spans.names()) == ["request", f"send {TOPIC}"]
    assert links_of(spans.one(f"send {TOPIC}")) == [(int("ab" * 16, 16), int("cd" * 8, 16))]


def test_without_create_spans_the_span_at_hand_travels(sqlite_application: Application, spans: Spans) -> None:
    sqlite_application.outbox.hooks.add(Tracing(spans.provider, create_spans=False))
    with spans.provider.get_tracer("test").start_as_current_span("request"):
        publish_many(sqlite_application, 2)
    publish_many(sqlite_application, 1)
    drained(sqlite_application)
    request = context_of(spans.one("request"))
    assert spans.named(f"create {TOPIC}") == []
    assert [link.span_id for link in links_of(spans.one(f"send {TOPIC}"))] == [request.span_id] * 2
    assert [headers for headers in headers_on_rows(sqlite_application) if not headers] == [{}]


def test_each_attempt_of_a_handler_has_a_span_linked_to_that_which_created_its_task(
    traced: Application, spans: Spans
) -> None:
    at_hand: list[Any] = []

    @traced.outbox.task(max_retries=1, retry_interval_seconds=0.001)
    def greet(name: str) -> None:
        at_hand.append(trace.get_current_span().get_span_context().span_id)
        raise LookupError(f"no {name}")

    with traced.session() as session, session.begin():
        task_id = greet.enqueue(session, name="Ann")
    for _ in range(3):
        drained(traced)
        traced.make_due()
    assert traced.statuses() == [Status.FAILED]
    DeadLetters(traced.engine, traced.outbox).replay(Selection(everything=True), actor="ann")
    drained(traced)
    created, attempts = spans.one("create greet"), spans.named("process greet")
    numbers = [(span.attributes or {})["asyncflow.attempt"] for span in attempts]
    assert numbers[:3] == [1, 2, 1]  # after the replay it may be tried twice again
    for number, span in zip(numbers, attempts, strict=True):
        told = dict(span.attributes or {})
        assert (span.kind, span.parent, links_of(span)) == (SpanKind.CONSUMER, None, [context_of(created)])
        assert told["messaging.system"] == "asyncflow"
        assert told["messaging.operation.type"] == "process"
        assert (told["messaging.message.id"], told["asyncflow.attempt"]) == (str(task_id), number)
        assert told["error.type"] == "LookupError"
        assert span.status.status_code is StatusCode.ERROR
        assert [event.name for event in span.events] == ["exception"]
    assert at_hand == [context_of(span).span_id for span in attempts]


def test_coroutines_and_transactional_handlers_are_traced_their_commit_included(
    traced: Application, spans: Spans
) -> None:
    user = traced.User

    @traced.outbox.task
    async def wave(name: str) -> None:
        spans.provider.get_tracer("test").start_span(f"in wave {name}").end()

    @traced.outbox.task(transactional=True, max_retries=0)
    def register(session: Session, account_no: str) -> None:
        session.add(user(account_no=account_no))  # flushed by the commit, where the second one fails

    with traced.session() as session, session.begin():
        wave.enqueue(session, name="Ann")
        register.enqueue(session, account_no="A1")
        register.enqueue(session, account_no="A1")
    drained(traced)
    inner, outer = spans.one("in wave Ann"), spans.one("process wave")
    assert inner.parent is not None
    assert inner.parent.span_id == context_of(outer).span_id
    registered = spans.named("process register")
    assert sorted(span.status.status_code.name for span in registered) == ["ERROR", "UNSET"]
    (failed,) = (span for span in registered if span.status.status_code is StatusCode.ERROR)
    assert "IntegrityError" in str((failed.attributes or {})["error.type"])
    texts = [str(failed.status.description), *(str(event.attributes) for event in failed.events)]
    assert not any("A1" in text.partition("[SQL")[2] for text in texts)  # data stays out


@pytest.mark.parametrize(
    ("raised", "status"),
    [(NotDone(1.0), "UNSET"), (CancelTask("x"), "UNSET"), (RejectTask("x"), "ERROR"), (SystemExit(1), "ERROR")],
    ids=lambda one: type(one).__name__,
)
def test_what_a_handler_says_on_purpose_is_no_fault(
    traced: Application, spans: Spans, raised: BaseException, status: str
) -> None:
    @traced.outbox.task
    def greet() -> None:
        raise raised

    with traced.session() as session, session.begin():
        greet.enqueue(session)
    drained(traced)
    assert spans.one("process greet").status.status_code.name == status


@pytest.mark.parametrize(
    ("outcome", "kind"), [(Rejected("too large"), "rejected"), (Unavailable("away"), "unavailable")]
)
def test_a_batch_that_was_not_taken_tells_why(traced: Application, spans: Spans, outcome: Outcome, kind: str) -> None:
    publish_many(traced, 2)
    answers: list[Outcome] = [outcome, SENT]
    drained(traced, lambda _: answers.pop() if answers else SENT)
    sent = spans.named(f"send {TOPIC}")[0]
    assert (sent.attributes or {})["error.type"] == kind
    assert sent.status.description == getattr(outcome, "error", None)
    assert {link.span_id for span in spans.named(f"send {TOPIC}")[:1] for link in links_of(span)} == {
        context_of(span).span_id for span in spans.named(f"create {TOPIC}")
    }


def test_children_share_the_trace_and_with_it_the_decision_to_sample(
    sqlite_application: Application, spans: Spans
) -> None:
    sqlite_application.outbox.hooks.add(Tracing(spans.provider, as_children=True))

    @sqlite_application.outbox.task
    def greet() -> None: ...

    with sqlite_application.session() as session, session.begin():
        sqlite_application.outbox.publish(session, TOPIC, {})
        greet.enqueue(session)
    drained(sqlite_application)
    for created, later in ((f"create {TOPIC}", f"send {TOPIC}"), ("create greet", "process greet")):
        parent = spans.one(later).parent
        assert parent is not None
        assert (parent.trace_id, parent.span_id) == (
            context_of(spans.one(created)).trace_id,
            context_of(spans.one(created)).span_id,
        )
        assert links_of(spans.one(later)) == [context_of(spans.one(created))]


def test_a_trace_that_is_not_sampled_travels_and_leaves_no_span(sqlite_application: Application, spans: Spans) -> None:
    unsampled = TracerProvider(sampler=ALWAYS_OFF)
    sqlite_application.outbox.hooks.add(Tracing(unsampled))
    publish_many(sqlite_application, 2)
    drained(sqlite_application)
    flags = [int(headers["traceparent"][-2:], 16) for headers in headers_on_rows(sqlite_application)]
    assert [flag & 1 for flag in flags] == [0, 0]  # the other bit tells that the id is random
    assert spans.names() == []


@pytest.mark.parametrize("create_spans", [True, False])
def test_a_trace_that_is_not_sampled_travels_with_a_task_only_where_somebody_may_go_by_it(
    sqlite_application: Application, create_spans: bool
) -> None:
    outbox = sqlite_application.outbox
    provider = TracerProvider(sampler=ALWAYS_OFF)
    outbox.hooks.add(Tracing(provider, create_spans=create_spans))

    @outbox.task
    def here() -> None: ...

    @outbox.task(queue="jobs")
    def by_queue() -> None: ...

    outbox.task("elsewhere")
    request = provider.get_tracer("test").start_as_current_span("request")
    with request, sqlite_application.session() as session, session.begin():
        here.enqueue(session)
        here.options(then=here.later()).enqueue(session)
        by_queue.enqueue(session)
        outbox.enqueue(session, "elsewhere")
    carry = ["traceparent" in headers for headers in headers_on_rows(sqlite_application)]
    assert carry == [False, True, True, True]


async def _coroutine(seen: list[Any]) -> None:
    seen.append(trace.get_current_span().get_span_context())


@pytest.mark.parametrize("among_others", [False, True])
def test_below_an_attempt_that_is_not_sampled_nothing_is_and_each_has_a_trace_of_its_own(
    sqlite_application: Application, spans: Spans, among_others: bool
) -> None:
    seen: list[Any] = []
    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(0.0))
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    sqlite_application.outbox.hooks.add(Tracing(provider))
    if among_others:
        sqlite_application.outbox.around.add(lambda ctx: nullcontext())

    @sqlite_application.outbox.task(concurrency=1)
    def greet() -> None:
        with provider.get_tracer("library").start_as_current_span("inner") as span:
            assert not span.is_recording()
        seen.append(trace.get_current_span().get_span_context())

    @sqlite_application.outbox.task
    async def wave() -> None:
        await _coroutine(seen)

    with sqlite_application.session() as session, session.begin():
        for task in (greet, greet, wave, wave):
            task.enqueue(session)
    drained(sqlite_application)
    assert sqlite_application.statuses() == [Status.SUCCESS] * 4
    assert all(context.is_valid and not context.trace_flags.sampled for context in seen)
    assert len({context.trace_id for context in seen}) == 4


def test_of_many_messages_the_share_that_is_sampled_has_spans_and_is_linked(
    sqlite_application: Application, spans: Spans
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(0.5))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    sqlite_application.outbox.hooks.add(Tracing(provider))
    publish_many(sqlite_application, 400)
    created = {context_of(one).trace_id for one in exporter.get_finished_spans()}
    on_rows = [headers["traceparent"] for headers in headers_on_rows(sqlite_application)]
    assert {int(one[3:35], 16) for one in on_rows if int(one[-2:], 16) & 1} == created
    assert len(on_rows) == len(set(on_rows)) == 400
    assert 100 < len(created) < 300
    exporter.clear()
    drained(sqlite_application)
    sent = exporter.get_finished_spans()  # one batch and another, each with one decision or more
    assert {link.trace_id for span in sent for link in links_of(span)} <= created


def test_without_an_sdk_nothing_is_written_and_everything_is_done(sqlite_application: Application) -> None:
    sqlite_application.outbox.hooks.add(Tracing(trace.NoOpTracerProvider()))
    publish_many(sqlite_application, 2)
    drained(sqlite_application)
    assert sqlite_application.statuses() == [Status.SUCCESS] * 2
    assert headers_on_rows(sqlite_application) == [{}, {}]


def test_a_message_that_is_there_already_is_no_fault_and_an_enqueue_that_fails_is(
    traced: Application, spans: Spans
) -> None:
    with traced.session() as session, session.begin():
        for _ in range(2):
            traced.outbox.publish(session, TOPIC, {}, idempotency_key="once")
        session.execute(select(1))
    assert [span.status.status_code.name for span in spans.named(f"create {TOPIC}")] == ["UNSET", "UNSET"]
    with traced.engine.connect() as connection:
        traced.outbox.tasks.drop(connection)
        with pytest.raises(Exception, match="no such table"):
            traced.outbox.publish(connection, TOPIC, {})
        connection.rollback()
    assert spans.named(f"create {TOPIC}")[-1].status.status_code is StatusCode.ERROR


def test_a_consumer_of_ones_own_is_traced_around_the_inbox(traced: Application, spans: Spans) -> None:
    tracing = Tracing(spans.provider)
    publish_many(traced, 1)
    (record,) = drained(traced).records
    headers = {name: value.decode() for name, value in record.headers}
    for _ in range(2):
        with (
            tracing.process(record.topic, headers, message_id=headers["message-id"], group="mail"),
            traced.session() as session,
            session.begin(),
        ):
            if traced.inbox.process_once(session, headers["message-id"], consumer="mail"):
                at_hand = trace.get_current_span().get_span_context()
    taken = spans.named(f"process {TOPIC}")
    assert [links_of(span) for span in taken] == [[context_of(spans.one(f"create {TOPIC}"))]] * 2
    assert context_of(taken[0]) == (at_hand.trace_id, at_hand.span_id)
    told = dict(taken[0].attributes or {})
    assert (told["messaging.system"], told["messaging.consumer.group.name"]) == ("kafka", "mail")
    assert told["messaging.message.id"] == headers["message-id"]


def test_an_error_of_any_length_has_a_span_that_collectors_take(spans: Spans) -> None:
    with pytest.raises(ValueError, match="long"), Tracing(spans.provider).process("users", {}):
        raise ValueError("long " * 1_000_000)
    span = spans.one("process users")
    (event,) = span.events
    told = [span.status.description or "", *map(str, (event.attributes or {}).values())]
    assert sum(map(len, told)) < 32_000
    assert all("long" in text for text in told if len(text) > 100)
    assert "test_tracing.py" in str((event.attributes or {})["exception.stacktrace"])


class Broken(SpanProcessor):
    def on_start(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("of the processor")

    on_end = on_start


def test_a_fault_of_the_sdk_fails_no_task(sqlite_application: Application, caplog: pytest.LogCaptureFixture) -> None:
    provider = TracerProvider()
    provider.add_span_processor(Broken())
    sqlite_application.outbox.hooks.add(Tracing(provider))

    @sqlite_application.outbox.task
    def greet() -> None: ...

    with sqlite_application.session() as session, session.begin():
        greet.enqueue(session)
    publish_many(sqlite_application, 1)
    with caplog.at_level(logging.ERROR, "asyncflow"):
        drained(sqlite_application)
    assert sqlite_application.statuses() == [Status.SUCCESS] * 2
    assert "could not be started" in caplog.text


@pytest.fixture(autouse=True)
def nothing_at_hand() -> Iterator[None]:
    """Leave no span at hand behind."""
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN
