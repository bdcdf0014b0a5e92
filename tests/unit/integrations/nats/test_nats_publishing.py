"""What the publisher makes of servers that are unwell or of ill will, which a real one is seldom."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
import threading
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from asyncflow.integrations.nats import NatsPublisher, NatsSettings
from asyncflow.scheduler.publishing.publisher import SENT, Record, Rejected, Retry, Unavailable
from tests.unit.integrations.nats.fake_server import NOBODY, Answer, FakeServer, Published, fake_server

nats = pytest.importorskip("nats")

NAMES = "$JS.API.STREAM.NAMES"
ACK: dict[str, Any] = {"stream": "S", "seq": 1}
PATIENT_SECONDS = 30.0


def records(count: int, topic: str = "t") -> list[Record]:
    return [Record(topic, b"k", b"%d" % number, [("message-id", b"%d" % number)]) for number in range(count)]


def published(server: FakeServer, batch: list[Record], **client_options: Any) -> list[Any]:
    settings = NatsSettings(delivery_timeout_seconds=PATIENT_SECONDS)
    publisher = NatsPublisher(server.url, settings, client_options=client_options)
    try:
        return list(publisher.publish(batch))
    finally:
        publisher.close()


def test_a_batch_is_sent_before_the_first_acknowledgement_is_waited_for() -> None:
    with fake_server(lambda _: ACK) as server:
        server.holds = 100
        assert published(server, records(100)) == [SENT] * 100


def test_the_order_of_a_batch_is_the_order_on_the_wire() -> None:
    with fake_server(lambda _: ACK) as server:
        assert published(server, records(500)) == [SENT] * 500
        assert [int(came.payload) for came in server.published] == list(range(500))


@pytest.mark.parametrize("streams", [["S"], [], None])
def test_nobody_listens_means_no_leader_or_no_stream(streams: list[str] | None) -> None:
    with fake_server(lambda came: {"streams": streams} if came.subject == NAMES else NOBODY) as server:
        (outcome,) = published(server, records(1))
    if streams:
        assert outcome == Unavailable("the stream S has no leader for now", is_of_topic=True)
    else:
        assert isinstance(outcome, Rejected)
        assert "make a stream with 't' among its subjects" in outcome.error


def test_a_server_without_jetstream_costs_no_attempt_and_says_how_to_start_it() -> None:
    with fake_server(lambda _: NOBODY) as server:
        (outcome,) = published(server, records(1))
    assert isinstance(outcome, Unavailable)
    assert "start the server with -js" in outcome.error


def test_a_cluster_without_a_leader_costs_no_attempt() -> None:
    with fake_server(lambda came: None if came.subject == NAMES else NOBODY) as server:
        (outcome,) = published(server, records(1))
    assert isinstance(outcome, Unavailable)
    assert "JetStream's API does not answer" in outcome.error


def test_what_is_forbidden_is_rejected_at_once_and_the_rest_is_sent() -> None:
    def answers(came: Published) -> Answer:
        return b"-ERR 'Permissions Violation for Publish to \"No.No\"'" if came.subject == "No.No" else ACK

    with fake_server(answers) as server:
        sent, rejected = published(server, [*records(1), *records(1, "No.No")])
    assert sent == SENT
    assert isinstance(rejected, Rejected)
    assert "no.no" in rejected.error


def test_what_the_server_ends_the_connection_for_is_found_and_rejected_alone() -> None:
    def answers(came: Published) -> Answer:
        return b"-ERR 'Maximum Payload Violation'" if came.payload == b"5" else ACK

    with fake_server(answers) as server:
        outcomes = published(server, records(9))
    assert isinstance(outcomes[5], Rejected)
    assert "maximum payload" in outcomes[5].error
    assert [*outcomes[:5], *outcomes[6:]] == [SENT] * 8


def test_a_connection_that_the_server_ends_for_reasons_of_its_own_costs_no_attempt() -> None:
    with fake_server(lambda _: b"-ERR 'Account Authentication Expired'") as server:
        began = monotonic()
        (outcome,) = published(server, records(1))
    assert isinstance(outcome, Unavailable)
    assert "expired" in outcome.error
    assert monotonic() - began < PATIENT_SECONDS


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"user": "u", "password": "s3cret"}, {"user": "u", "pass": "s3cret"}),
        ({"token": "s3cret"}, {"auth_token": "s3cret"}),
    ],
)
def test_credentials_go_to_the_server_and_nowhere_else(
    options: dict[str, str], told: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with fake_server(lambda _: ACK, auth_required=True) as server:
        assert published(server, records(1), **options) == [SENT]
    assert told.items() <= server.connects[0].items()
    assert server.connects[0]["name"] == "asyncflow"
    assert "s3cret" not in caplog.text


def test_tls_that_is_asked_for_and_not_offered_sends_nothing() -> None:
    with fake_server(lambda _: ACK) as server:
        server.url = server.url.replace("nats:", "tls:")
        (outcome,) = published(server, records(1))
    assert outcome == Unavailable("the server offers no TLS, which is asked for")
    assert server.published == []


def test_tls_is_spoken_with_the_context_that_is_given_and_a_stranger_s_certificate_is_refused(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", *kind, *subject, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    its = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    its.load_cert_chain(certificate, key)
    trusting, strange = ssl.create_default_context(cafile=certificate), ssl.create_default_context()
    with fake_server(lambda _: ACK, tls=its, tls_required=True) as server:
        assert published(server, records(20), tls=trusting) == [SENT] * 20
        (outcome,) = published(server, records(1), tls=strange)
    assert isinstance(outcome, Unavailable)
    assert "certificate" in outcome.error.lower()


def test_of_several_servers_the_first_that_answers_serves() -> None:
    with fake_server(lambda _: ACK) as away, fake_server(lambda _: ACK) as server:
        away.close()
        publisher = NatsPublisher([away.url, server.url])
        assert publisher.publish(records(1)) == [SENT]
        publisher.close()


def test_within_a_running_event_loop_it_publishes_as_well() -> None:
    async def within() -> list[Any]:
        return published(server, records(3))

    with fake_server(lambda _: ACK) as server:
        assert asyncio.run(within()) == [SENT] * 3


def test_close_in_flight_ends_the_wait_soon() -> None:
    came = threading.Event()

    def answers(_: Published) -> Answer:
        came.set()
        return None

    with fake_server(answers) as server:
        publisher = NatsPublisher(server.url, NatsSettings(delivery_timeout_seconds=300.0))
        outcomes: list[Any] = []
        thread = threading.Thread(target=lambda: outcomes.extend(publisher.publish(records(2))))
        thread.start()
        assert came.wait(60)
        publisher.close()
        thread.join(60)
    assert outcomes == [Unavailable("the publisher is closed")] * 2


def test_what_is_in_doubt_goes_over_no_connection_again() -> None:
    with fake_server(lambda came: None if came.payload == b"0" or came.subject == NAMES else ACK) as server:
        publisher = NatsPublisher(server.url, NatsSettings(delivery_timeout_seconds=PATIENT_SECONDS))
        assert publisher.publish(records(2)[1:]) == [SENT]
        publisher._link._timeout_seconds = 1.0
        assert publisher.publish(records(1)) == [Unavailable("no acknowledgement in time")]
        publisher._link._timeout_seconds = PATIENT_SECONDS
        assert publisher.publish(records(2)[1:]) == [SENT]
        assert len(server.connects) == 2
        publisher.close()


def test_a_stream_without_the_right_to_look_costs_an_attempt() -> None:
    def answers(came: Published) -> Answer:
        return f"-ERR 'Permissions Violation for Publish to \"{NAMES}\"'".encode() if came.subject == NAMES else NOBODY

    with fake_server(answers) as server:
        (outcome,) = published(server, records(1))
    assert isinstance(outcome, Retry)
    assert "this user may not ask" in outcome.error
