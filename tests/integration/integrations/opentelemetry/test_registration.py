"""The trace of one registration, from the HTTP request over the outbox and Apache Kafka to the consumer."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind
from sqlalchemy import MetaData, create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from starlette.responses import Response

from asyncflow import Inbox, Outbox
from asyncflow.integrations.fastapi import before_response, transaction
from asyncflow.integrations.kafka import ConfluentKafkaPublisher, KafkaSettings
from asyncflow.integrations.kafka.consuming import Consumer
from asyncflow.integrations.opentelemetry import Tracing
from tests.integration.integrations.kafka.consuming.messages import make_topic
from tests.integration.integrations.opentelemetry.conftest import Spans, context_of, links_of
from tests.support.application import Application
from tests.unit.scheduler.waiting import eventually
from tools.services import load

CALLER = f"00-{'ab' * 16}-{'cd' * 8}-01"


def website(application: Application, topic: str, spans: Spans) -> FastAPI:
    """Return an application whose requests are traced, as an instrumentation of FastAPI would trace them."""
    app, outbox = FastAPI(), application.outbox
    outbox.hooks.add(Tracing(spans.provider))
    outbox.message("user.welcomed", topic=topic)

    @outbox.task
    def issue_coupon(account_no: str) -> None: ...

    @app.middleware("http")
    async def trace(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        tracer = spans.provider.get_tracer("http")
        name, context = f"{request.method} {request.url.path}", extract(request.headers)
        with tracer.start_as_current_span(name, context=context, kind=SpanKind.SERVER):
            return await answer(request)

    given: Any = before_response(transaction(application.engine))

    @app.post("/users")
    def register(account_no: str, session: Session = given) -> dict[str, str]:
        session.add(application.User(account_no=account_no))
        issue_coupon.enqueue(session, account_no=account_no)
        return {"id": str(outbox.publish(session, "user.welcomed", {"account_no": account_no}, key=account_no))}

    return app


def test_one_registration_is_one_trace_from_the_request_to_the_consumer(
    sqlite_application: Application, spans: Spans, tmp_path: Any
) -> None:
    servers = load().kafka_bootstrap
    assert servers is not None, "no Kafka: `make services` brings one up"
    topic = make_topic(servers)
    app = website(sqlite_application, topic, spans)
    with TestClient(app) as client:
        answer = client.post("/users", params={"account_no": "A1"}, headers={"traceparent": CALLER})
    message_id = answer.json()["id"]

    publishers = {"kafka": ConfluentKafkaPublisher(servers, KafkaSettings(delivery_timeout_seconds=60))}
    scheduler = sqlite_application.scheduler(publishers)
    scheduler.drain()
    scheduler.stop()

    # Another service, with a database of its own.
    engine = create_engine(f"sqlite:///{tmp_path / 'points.db'}?timeout=60", poolclass=NullPool)
    metadata = MetaData()
    points, inbox = Outbox(metadata, hooks=[Tracing(spans.provider)]), Inbox(metadata)
    metadata.create_all(engine)
    points.message("points.counted")
    consumer = Consumer(
        engine, points, inbox, servers, group=f"points-{uuid.uuid4().hex[:8]}", client="confluent-kafka"
    )

    @consumer.subscribe("user.welcomed", topic=topic)
    def count_points(session: Session, account_no: str) -> None:
        points.publish(session, "points.counted", {"account_no": account_no})

    consumer.start()
    try:
        eventually(lambda: bool(spans.named(f"process {topic}")))
    finally:
        assert consumer.stop(60)

    request, created = spans.one("POST /users"), spans.one(f"create {topic}")
    sent, processed = spans.one(f"send {topic}"), spans.one(f"process {topic}")
    kinds = [span.kind for span in (request, created, sent, processed)]
    assert kinds == [SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CLIENT, SpanKind.CONSUMER]
    assert request.parent is not None
    assert f"{request.parent.trace_id:032x}" == "ab" * 16
    parents = [spans.one(name).parent for name in (f"create {topic}", "create issue_coupon")]
    assert [parent and parent.span_id for parent in parents] == [context_of(request).span_id] * 2
    assert [context_of(one).trace_id for one in (request, created)] == [int("ab" * 16, 16)] * 2
    assert links_of(sent) == [context_of(created)]
    assert links_of(processed) == [context_of(created)]
    assert links_of(spans.one("process issue_coupon")) == [context_of(spans.one("create issue_coupon"))]
    told = {**(processed.attributes or {})}
    assert {told["messaging.system"], (sent.attributes or {})["messaging.system"]} == {"kafka"}
    assert told["messaging.destination.name"] == topic
    assert told["messaging.message.id"] == message_id
    assert told["messaging.destination.partition.id"] in ("0", "1")
    assert told["messaging.kafka.offset"] == 0
    assert told["asyncflow.subscriber"] == "count_points"
    # What the consumer enqueues goes on from there.
    counted = spans.one("create points.counted").parent
    assert counted is not None
    assert counted.span_id == context_of(processed).span_id
    engine.dispose()
