"""The publisher to webhooks, on a real HTTP server: the suite of publishers, and what is HTTP's own."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, create_engine, func, select
from sqlalchemy.orm import Session, declarative_base

from asyncflow import CloudEvents, Inbox, Outbox, Scheduler, Status
from asyncflow.events import BreakerChanged, TaskRetried
from asyncflow.integrations.webhooks import WebhookPublisher, WebhookSettings, make_secret, verify
from asyncflow.outbox.clock import seconds_until
from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Record, Rejected, Retry, Sent, Unavailable
from asyncflow.testing import Signals
from tests.integration.integrations.webhooks.receiver import (
    Answer,
    Posted,
    ReceivingServer,
    WebhookReceiver,
    record_of,
    until,
)
from tests.support.databases import open_engine
from tests.support.own_publisher_suite import OwnPublisherSuite, a_record
from tests.support.snippets import snippets

pytestmark = pytest.mark.timeout(120)


class TestWebhookPublisher(OwnPublisherSuite):
    """All of it."""


@pytest.fixture
def other() -> Iterator[ReceivingServer]:
    """Give a server of another host."""
    server = ReceivingServer(make_secret())
    yield server
    server.close()


def outcome_of(publisher: WebhookPublisher, topic: str) -> Outcome:
    (outcome,) = publisher.publish([a_record(topic)])
    return outcome


# -- the request -----------------------------------------------------------------------------------------


def test_a_request_tells_id_key_type_and_headers_and_is_signed_with_every_secret(broker: WebhookReceiver) -> None:
    topic, new = broker.make_topic(), make_secret()
    settings = WebhookSettings(headers={"Authorization": "Bearer t0ken"})
    publisher = WebhookPublisher(broker.url, [new, broker.secret], settings)
    headers = [("message-id", b"id-1"), ("content-type", b"application/json"), ("tenant", "é".encode()), ("t", b"50 %")]
    assert publisher.publish([Record(topic, "ключ".encode(), b"{}", headers)]) == [SENT]
    publisher.close()
    (posted,) = broker.server.requests
    told = {name: posted.headers[name] for name in ("webhook-id", "content-type", "tenant", "t", "authorization")}
    assert told == {
        "webhook-id": "id-1",
        "content-type": "application/json",
        "tenant": "UTF-8''%C3%A9",
        "t": "50 %",
        "authorization": "Bearer t0ken",
    }
    assert record_of(topic, posted).key == "ключ".encode()
    assert len(posted.headers["webhook-signature"].split()) == 2
    for secret in (new, broker.secret):
        assert verify(posted.body, posted.headers, secret) == "id-1"


def test_url_and_secrets_may_be_functions_of_the_topic_that_run_on_the_caller_s_thread(
    broker: WebhookReceiver, other: ReceivingServer
) -> None:
    asked: list[tuple[str, threading.Thread]] = []
    ways = {
        "here": (broker.url.replace("{topic}", "here"), broker.secret),
        "there": (f"http://127.0.0.1:{other.port}/there", other.secret),
    }

    def url(topic: str) -> str:
        asked.append((topic, threading.current_thread()))
        return ways[topic][0]

    for server, topic in ((broker.server, "here"), (other, "there")):
        server.answers[topic] = lambda _: Answer()
    publisher = WebhookPublisher(url, lambda topic: ways[topic][1])
    batch = [a_record(("here", "there", "nowhere")[number % 3], number) for number in range(9)]
    outcomes = publisher.publish(batch)
    publisher.close()
    assert [type(outcome) for outcome in outcomes] == [Sent, Sent, Retry] * 3
    assert asked == [(topic, threading.current_thread()) for topic in ("here", "there")]  # its secrets failed before
    assert (len(broker.server.taken["here"]), len(other.taken["there"])) == (3, 3)


# -- what is answered ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ((200, 201, 202, 204, 299), Sent),
        ((301, 302, 303, 304, 307, 308), Rejected),
        ((400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 451), Rejected),
        ((408, 425, 500, 501, 505, 507, 599), Retry),
        ((429, 502, 503, 504), Unavailable),
    ],
)
def test_a_status_means_what_it_says(broker: WebhookReceiver, statuses: tuple[int, ...], kind: type) -> None:
    topics = [broker.make_topic(status, Location="/elsewhere") for status in statuses]
    publisher = broker.make_publisher()
    outcomes = publisher.publish([a_record(topic) for topic in topics])
    publisher.close()
    assert [type(outcome) for outcome in outcomes] == [kind] * len(statuses)
    for status, outcome in zip(statuses, outcomes, strict=True):
        assert kind is Sent or f"answered {status}" in getattr(outcome, "error", "")
    assert len(broker.server.requests) == len(statuses)  # and none elsewhere


def test_a_redirect_is_told_with_what_to_do(broker: WebhookReceiver) -> None:
    publisher = broker.make_publisher()
    outcome = outcome_of(publisher, broker.make_topic(307, Location="http://127.0.0.1/s3cret"))
    publisher.close()
    assert isinstance(outcome, Rejected)
    assert "redirects are not followed; give the URL where it leads" in outcome.error
    assert "s3cret" not in outcome.error


def test_statuses_that_are_to_be_retried_cost_an_attempt(broker: WebhookReceiver) -> None:
    publisher = broker.make_publisher(retried_statuses={404, 401, 302})
    kinds = [type(outcome_of(publisher, broker.make_topic(status))) for status in (401, 403, 404, 302, 301)]
    publisher.close()
    assert kinds == [Retry, Rejected, Retry, Retry, Rejected]


@pytest.mark.parametrize("status", [500, 429, 503])
def test_retry_after_is_heeded_in_seconds_and_as_a_date_up_to_a_limit(broker: WebhookReceiver, status: int) -> None:
    # By the receiver's own clock, which is years behind.
    now = datetime(2001, 2, 3, 4, 5, 6, tzinfo=timezone.utc)
    dates = {"Date": format_datetime(now, usegmt=True)}
    in_ninety = format_datetime(now + timedelta(seconds=90), usegmt=True)
    topics = {
        broker.make_topic(status, **{"Retry-After": "30"}): 30,
        broker.make_topic(lambda _: Answer(status, {**dates, "Retry-After": in_ninety})): 90,
        broker.make_topic(status, **{"Retry-After": "86400"}): 100,
        broker.make_topic(status, **{"Retry-After": "soon"}): 0,
    }
    publisher = broker.make_publisher(max_retry_after_seconds=100)
    outcomes = publisher.publish([a_record(topic, number) for number, topic in enumerate(topics)])
    publisher.close()
    assert [getattr(outcome, "after_seconds", None) for outcome in outcomes] == list(topics.values())
    assert {type(outcome) for outcome in outcomes} == {Retry if status == 500 else Unavailable}


def test_what_an_answer_says_besides_its_status_is_not_waited_for(broker: WebhookReceiver) -> None:
    endless = broker.make_topic(200, **{"Content-Length": "1000000"})
    publisher = broker.make_publisher()
    began = monotonic()
    assert outcome_of(publisher, endless) == SENT
    publisher.close()
    assert monotonic() - began < 25


# -- no answer -------------------------------------------------------------------------------------------


def test_a_message_whose_answer_was_lost_costs_no_attempt_and_comes_again_under_its_id(broker: WebhookReceiver) -> None:
    topic, publisher = broker.make_topic(lambda _: Answer(None)), broker.make_publisher()
    outcome = outcome_of(publisher, topic)
    assert isinstance(outcome, Unavailable)
    broker.server.answers[topic] = lambda _: Answer()
    assert outcome_of(publisher, topic) == SENT
    publisher.close()
    assert [posted.headers["webhook-id"] for posted in broker.server.taken[topic]] == ["id-0", "id-0"]


def test_a_message_that_alone_is_not_answered_costs_an_attempt(broker: WebhookReceiver) -> None:
    """It holds up no other: a receiver that answers others meanwhile is there."""

    def answers(posted: Posted) -> Answer:
        return Answer(None if posted.body == b"3" else 200)

    topic, publisher = broker.make_topic(answers), broker.make_publisher()
    first = publisher.publish([a_record(topic, 3)])
    batch = [a_record(topic, number, None) for number in (0, 1, 2, 4, 5)]
    assert publisher.publish(batch) == [SENT] * 5
    then = publisher.publish([a_record(topic, 3)])
    publisher.close()
    assert [type(outcome) for outcome in (*first, *then)] == [Unavailable, Retry]


def test_a_message_that_meets_silence_again_and_again_costs_an_attempt_at_last(broker: WebhookReceiver) -> None:
    topic, publisher = broker.make_topic(lambda _: Answer(None)), broker.make_publisher()
    kinds = [type(outcome_of(publisher, topic)) for _ in range(8)]
    publisher.close()
    assert kinds == [*[Unavailable] * 6, Retry, Unavailable]


def test_an_answer_that_comes_in_drops_is_given_up(broker: WebhookReceiver) -> None:
    """Each drop is in time for the client, and all of them are not."""
    topic, stop = broker.make_topic(), threading.Event()
    server = socket_of_drops(stop)
    publisher = WebhookPublisher(
        f"http://127.0.0.1:{server[1]}/{topic[-4:]}",
        broker.secret,
        WebhookSettings(connect_timeout_seconds=0.5, read_timeout_seconds=1.0),
    )
    began = monotonic()
    outcome = outcome_of(publisher, topic)
    took = monotonic() - began
    stop.set()
    publisher.close()
    server[0]()
    assert isinstance(outcome, Unavailable)
    assert "no answer in time" in outcome.error
    assert took < 20


def socket_of_drops(stop: threading.Event) -> tuple[Callable[[], None], int]:
    """Listen, and answer whoever comes a header's letter at a time; return how to end it, and the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            try:
                while not stop.wait(0.1):
                    connection.sendall(b"x")
            except OSError:  # it was given up
                stop.wait(60)

    thread = threading.Thread(target=serve)
    thread.start()

    def end() -> None:
        thread.join()
        listener.close()

    return end, listener.getsockname()[1]


def test_a_host_that_is_silent_holds_up_no_other_and_is_the_trouble_of_its_topics(
    broker: WebhookReceiver, other: ReceivingServer
) -> None:
    other.answers["there"] = lambda _: Answer()
    urls = {"here": broker.url.replace("{topic}", "here"), "there": f"http://127.0.0.1:{other.port}/there"}
    publisher = WebhookPublisher(
        urls.__getitem__,
        [broker.secret, other.secret],
        WebhookSettings(connect_timeout_seconds=1, read_timeout_seconds=1, concurrency=2),
    )
    batch = [a_record(("here", "there")[number % 2], number, None) for number in range(40)]
    with broker.silent():
        outcomes = publisher.publish(batch)
    publisher.close()
    assert outcomes[1::2] == [SENT] * 20
    for outcome in outcomes[::2]:
        assert isinstance(outcome, Unavailable)
        assert outcome.is_of_topic


def test_what_has_no_turn_in_time_is_unavailable_and_was_not_sent(broker: WebhookReceiver) -> None:
    go_on = threading.Event()
    topic = broker.make_topic(lambda _: Answer(200, {}, lambda: go_on.wait(60)))
    publisher = broker.make_publisher(delivery_timeout_seconds=1.0, concurrency=2)
    outcomes = publisher.publish([a_record(topic, number, None) for number in range(6)])
    go_on.set()
    publisher.close()
    told = [outcome.error for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert told == ["no answer in time"] * 2 + ["not sent, as the time was over before its turn came"] * 4
    assert len(broker.server.requests) <= 2


# -- side by side ----------------------------------------------------------------------------------------


def test_a_host_is_sent_as_many_requests_at_once_as_are_set_and_no_more(broker: WebhookReceiver) -> None:
    server = broker.server
    topic = broker.make_topic(lambda _: Answer(200, {}, lambda: server.wait_for(lambda: server.most_at_once >= 3)))
    publisher = broker.make_publisher(concurrency=3)
    assert publisher.publish([a_record(topic, number, None) for number in range(30)]) == [SENT] * 30
    publisher.close()
    assert server.most_at_once == 3


def test_a_connection_is_used_again(broker: WebhookReceiver) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(concurrency=1)
    for first in range(0, 30, 10):
        assert publisher.publish([a_record(topic, first + number) for number in range(10)]) == [SENT] * 10
    assert len(broker.proxy._connections) < 10  # one, unless a busy machine let it rest for seconds
    publisher.close()


def test_the_batches_that_are_asked_for_grow_and_shrink_with_what_is_answered(broker: WebhookReceiver) -> None:
    topic, publisher = broker.make_topic(), broker.make_publisher(concurrency=4)
    first = publisher.records_at_once
    with broker.away():
        publisher.publish([a_record(topic)])
    assert publisher.records_at_once == first
    publisher._pace.observe(100, 0.1)
    assert publisher.records_at_once == first * 2
    publisher._pace.observe(10, 20.0)
    assert publisher.records_at_once == 4
    publisher.close()


# -- life ------------------------------------------------------------------------------------------------


def test_close_gives_sockets_and_threads_back_and_publishing_afterwards_is_unavailable(broker: WebhookReceiver) -> None:
    topic, before = broker.make_topic(), set(threading.enumerate())
    publisher = broker.make_publisher()
    assert broker.own_sockets() == 0
    assert outcome_of(publisher, topic) == SENT
    assert broker.own_sockets() > 0
    publisher.close()
    until(lambda: broker.own_sockets() == 0)
    assert outcome_of(publisher, topic) == Unavailable("the publisher is closed")
    until(lambda: not [one for one in set(threading.enumerate()) - before if one.name == "asyncflow-coroutines"])


# -- TLS and secrets -------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Give a file with a key and its certificate of 127.0.0.1, which nobody has signed but itself."""
    made, key = tmp_path / "own.pem", tmp_path / "key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        command = ["openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(made)]
        subprocess.run(command, capture_output=True, check=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no openssl that would make a certificate")
    made.write_bytes(made.read_bytes() + key.read_bytes())
    return made


def test_a_certificate_is_checked_and_the_client_s_own_is_shown(certificate: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    tls.load_cert_chain(certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    server = ReceivingServer(make_secret(), tls)
    server.answers["t"] = lambda _: Answer()
    known = ssl.create_default_context(cafile=str(certificate))
    with_own = ssl.create_default_context(cafile=str(certificate))
    with_own.load_cert_chain(certificate)
    outcomes = []
    try:
        for options in ({}, {"verify": known}, {"verify": with_own}):
            url = f"https://127.0.0.1:{server.port}/{{topic}}"
            publisher = WebhookPublisher(url, server.secret, client_options=options)
            outcomes.append(outcome_of(publisher, "t"))
            publisher.close()
    finally:
        server.close()
    unknown, without_own, sent = outcomes
    assert isinstance(unknown, Unavailable)
    assert "certificate verify failed" in unknown.error
    assert isinstance(without_own, Unavailable)
    assert sent == SENT


def test_no_secret_is_told_in_a_log_an_error_or_a_repr(
    broker: WebhookReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = WebhookSettings(headers={"Authorization": "t0ken"})
    publisher = WebhookPublisher(f"http://127.0.0.1:{broker.proxy.port}/p4th?q=p4th", broker.secret, settings)
    outcomes = list(publisher.publish([a_record("t")]))
    with broker.away():
        outcomes += publisher.publish([a_record("t")])
    told = [caplog.text, *map(repr, (outcomes, publisher, settings, publisher._maker, publisher._maker._keys))]
    publisher.close()
    assert [type(outcome) for outcome in outcomes] == [Rejected, Unavailable]
    for secret in ("p4th", "t0ken", broker.secret.removeprefix("whsec_")):
        assert not [text for text in told if secret in text]


# -- with a scheduler ------------------------------------------------------------------------------------


def test_a_scheduler_sends_what_was_published_and_waits_as_long_as_it_is_asked_to(
    broker: WebhookReceiver, tmp_path: Path
) -> None:
    taken, failing, crowded = broker.make_topic(), broker.make_topic(500, **{"Retry-After": "300"}), "crowded"
    broker.server.answers[crowded] = lambda _: Answer(429, {"Retry-After": "200"})
    metadata = MetaData()
    outbox = Outbox(metadata, default_destination="webhooks", max_message_bytes=50_000)
    outbox.message("user.registered", topic=taken)
    outbox.message("user.failing", topic=failing)
    outbox.message("user.ordered", topic=failing, ordered=True)
    outbox.message("user.crowded", topic=crowded)
    engine = open_engine(create_engine(f"sqlite:///{tmp_path / 'outbox.db'}").url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        task_id = outbox.publish(connection, "user.registered", {"a": 1}, key="ключ", headers={"tenant": "é"})
        for name in ("user.failing", "user.ordered", "user.crowded"):
            outbox.publish(connection, name, {}, key="k")
    signals = Signals()
    scheduler = Scheduler(engine, outbox, {"webhooks": broker.make_publisher()}, hooks=[signals])
    scheduler.drain()
    scheduler.stop()
    with engine.connect() as connection:
        found = {task.task_type: task for task in outbox.find(connection, limit=10)}
        parked = connection.scalar(select(seconds_until(outbox.parked_keys.c.due)))
    engine.dispose()
    statuses = {name: (task.status, task.attempts) for name, task in found.items()}
    assert statuses == {
        "user.registered": (Status.SUCCESS, 0),
        "user.failing": (Status.PENDING, 1),
        "user.ordered": (Status.PENDING, 1),
        "user.crowded": (Status.PENDING, 0),
    }
    assert {event.delay_seconds for event in signals.of(TaskRetried)} == {300.0}
    assert parked is not None
    assert float(parked) > 200  # and so waits its key
    (opened,) = [event for event in signals.of(BreakerChanged) if event.state == "open"]
    assert (opened.topic, opened.retry_in_seconds) == (crowded, 200.0)
    (record,) = broker.stored(taken, 1)
    assert (record.key, record.value) == ("ключ".encode(), b'{"a":1}')
    assert dict(record.headers) == {
        "message-id": str(task_id).encode(),
        "message-type": b"user.registered",
        "content-type": b"application/json",
        "tenant": "é".encode(),
    }


def test_the_receiver_of_the_page_takes_what_is_signed_once_and_nothing_else(
    broker: WebhookReceiver, tmp_path: Path
) -> None:
    base = declarative_base()

    class Coupon(base):  # type: ignore[valid-type, misc]
        __tablename__ = "coupon"
        id = Column(Integer, primary_key=True)
        account_no = Column(String(20))

    inbox = Inbox(base.metadata)
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    base.metadata.create_all(engine)
    page: dict[str, Any] = {"inbox": inbox, "Coupon": Coupon, "secrets": broker.secret}
    page |= {"Session": Session}
    (block,) = [one for one in snippets("docs/run.md") if "receive" in one.co_names]
    exec(block, page)
    topic, publisher = broker.make_topic(), broker.make_publisher()
    assert outcome_of(publisher, topic) == SENT
    publisher.close()
    (posted,) = broker.server.requests
    with Session(engine) as session:
        given = [(posted.body, posted.headers), (posted.body, posted.headers), (b"other", posted.headers)]
        assert [page["receive"](session, *one) for one in given] == [204, 204, 401]
        assert session.scalar(select(func.count(Coupon.id))) == 1
    engine.dispose()


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_the_library_of_cloudevents_reads_what_a_scheduler_posts(
    broker: WebhookReceiver, tmp_path: Path, mode: Any
) -> None:
    http = pytest.importorskip("cloudevents.core.bindings.http")
    topic, metadata = broker.make_topic(), MetaData()
    events = CloudEvents(source="/shop", mode=mode, extensions={"tenant": "é 100%"})
    outbox = Outbox(metadata, default_destination="webhooks", max_message_bytes=50_000, cloudevents=events)
    outbox.message("user.registered", topic=topic)
    engine = open_engine(create_engine(f"sqlite:///{tmp_path / 'outbox.db'}").url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        task_id = outbox.publish(connection, "user.registered", {"a": 1}, key='ключ "1"')
    scheduler = Scheduler(engine, outbox, {"webhooks": broker.make_publisher()})
    scheduler.drain()
    scheduler.stop()
    engine.dispose()
    (posted,) = broker.server.taken[topic]
    message = http.HTTPMessage(headers=posted.headers, body=posted.body)
    event = http.from_binary_event(message) if mode == "binary" else http.from_structured_event(message)
    assert (event.get_id(), event.get_source(), event.get_type()) == (str(task_id), "/shop", "user.registered")
    assert (event.get_subject(), event.get_extension("tenant")) == ('ключ "1"', "é 100%")
    assert event.get_data() == {"a": 1}
