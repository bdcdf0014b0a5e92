"""The four metrics of OpenTelemetry's conventions for messaging, under the names of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest

from asyncflow import CancelTask
from asyncflow.integrations.prometheus import MetricsServer, PrometheusMessaging
from asyncflow.scheduler import SENT, Outcome, Rejected
from asyncflow.testing import MemoryPublisher
from tests.integration.scheduler.writing import publish_many
from tests.support.application import Application

OF_KAFKA = 'messaging_destination_name="user.registered"'


def lines_of(registry: CollectorRegistry) -> Iterator[str]:
    for line in generate_latest(registry).decode().splitlines():
        if line.startswith("messaging_") and "_bucket" not in line and "_created" not in line:
            name, _, rest = line.partition("{")
            labels, _, value = rest.partition("} ")
            told = [one for one in labels.split(",") if '=""' not in one]
            yield f"{name} {' '.join(sorted(told))} {value}"


def test_batches_messages_and_attempts_are_measured(sqlite_application: Application) -> None:
    registry = CollectorRegistry()
    sqlite_application.outbox.hooks.add(PrometheusMessaging(registry))

    @sqlite_application.outbox.task(max_retries=0)
    def greet(name: str) -> None:
        if name == "Bo":
            raise LookupError(name)
        if name == "Cy":
            raise CancelTask("unwanted")

    publish_many(sqlite_application, 3)
    with sqlite_application.session() as session, session.begin():
        for name in ("Ann", "Bo", "Cy"):
            greet.enqueue(session, name=name)
    answers: list[Outcome] = [SENT, Rejected("no"), SENT]
    scheduler = sqlite_application.scheduler(MemoryPublisher(lambda _: answers.pop()))
    scheduler.drain()
    scheduler.stop()
    send = 'messaging_operation_name="send" messaging_system="kafka"'
    process = 'messaging_destination_name="greet" messaging_operation_name="process" messaging_system="asyncflow"'
    lines = [line for line in lines_of(registry) if "_sum" not in line]
    assert sorted(lines) == sorted(
        [
            f'messaging_client_operation_duration_seconds_count error_type="rejected" {OF_KAFKA} {send} 1.0',
            f"messaging_client_sent_messages_total {OF_KAFKA} {send} 2.0",
            f'messaging_client_sent_messages_total error_type="rejected" {OF_KAFKA} {send} 1.0',
            f"messaging_client_consumed_messages_total {process} 3.0",
            f"messaging_process_duration_seconds_count {process} 2.0",
            f'messaging_process_duration_seconds_count error_type="LookupError" {process} 1.0',
        ]
    )


def test_a_server_measures_them_by_an_option_and_no_longer_than_it_is_there(sqlite_application: Application) -> None:
    its = sqlite_application
    scheduler = its.scheduler()
    with MetricsServer(scheduler, 0):
        assert its.outbox.hooks.around_delivery == ()
    with MetricsServer(scheduler, 0, messaging=True):
        assert len(its.outbox.hooks.around_delivery) == len(its.outbox.around) == 1
    assert (its.outbox.hooks.around_delivery, list(its.outbox.around)) == ((), [])
    scheduler.stop()
