"""Metrics for OpenTelemetry: what Prometheus is told as well, and the four of the conventions."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry

from asyncflow.conventions.counting import METRICS
from asyncflow.conventions.measuring import BUCKETS
from asyncflow.integrations.opentelemetry import OpenTelemetryHook, OpenTelemetryMessaging
from asyncflow.integrations.prometheus import OutboxCollector, PrometheusHook
from tests.integration.scheduler.writing import alter, publish_many, statements
from tests.support.application import Application


class Measured:
    """Provide meters, and tell what they have measured."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader])

    def read(self) -> dict[str, Any]:
        """Return the metrics by name, as the SDK has them."""
        data = self._reader.get_metrics_data()
        scopes = [] if data is None else data.resource_metrics[0].scope_metrics
        return {metric.name: metric for scope in scopes for metric in scope.metrics}


def points(metric: Any) -> dict[tuple[tuple[str, str], ...], Any]:
    return {tuple(sorted(point.attributes.items())): point for point in metric.data.data_points}


@pytest.fixture
def measured() -> Measured:
    return Measured()


def test_what_a_scheduler_does_and_what_the_tables_tell_is_measured(
    sqlite_application: Application, measured: Measured
) -> None:
    its = sqlite_application
    hook = OpenTelemetryHook(measured.provider)
    hook.observe(its.engine, its.outbox, kept_seconds=3600.0)
    its.outbox.hooks.add(hook)
    publish_many(its, 3)
    alter(its, "order_time = '2026-01-01 00:00:00.000000'")
    found = measured.read()
    ((labels, waits),) = points(found["asyncflow.oldest_due"]).items()
    assert (labels, waits.value > 3600) == ((("task_type", "user.registered"),), True)
    assert found["asyncflow.oldest_due"].unit == "s"
    assert points(found["asyncflow.findings"])[("code", "no-instance"), ("severity", "stuck")].value == 1
    assert points(found["asyncflow.look_failed"])[()].value == 0
    scheduler = its.scheduler(None, hook)
    scheduler.drain()
    scheduler.stop()
    with statements(its.engine) as sent:  # of the same look
        found = measured.read()
    assert sent == []
    settled = points(found["asyncflow.tasks_settled"])
    assert settled[("destination", "kafka"), ("outcome", "succeeded")].value == 3
    assert points(found["asyncflow.tasks_enqueued"])[(("task_type", "user.registered"),)].value == 3
    publish = points(found["asyncflow.publish"])[(("destination", "kafka"),)]
    assert (publish.count, found["asyncflow.publish"].unit) == (1, "s")
    assert points(found["asyncflow.shards_owned"])


def test_the_names_are_those_of_prometheus_when_an_exporter_has_turned_them(
    sqlite_application: Application,
) -> None:
    registry = CollectorRegistry()
    PrometheusHook(registry)
    there = {family.name for family in registry.collect()}
    there |= {family.name for family in OutboxCollector(sqlite_application.engine, sqlite_application.outbox).collect()}
    ours = {f"asyncflow_{name}" for name in METRICS}
    assert {name.removesuffix("_seconds") for name in there} >= {name.removesuffix("_seconds") for name in ours}


def test_the_four_of_the_conventions_are_measured(sqlite_application: Application, measured: Measured) -> None:
    sqlite_application.outbox.hooks.add(OpenTelemetryMessaging(measured.provider))

    @sqlite_application.outbox.task(max_retries=0)
    def greet() -> None:
        raise LookupError

    publish_many(sqlite_application, 2)
    with sqlite_application.session() as session, session.begin():
        greet.enqueue(session)
    scheduler = sqlite_application.scheduler()
    scheduler.drain()
    scheduler.stop()
    found = measured.read()
    assert found.keys() == {
        "messaging.client.operation.duration",
        "messaging.client.sent.messages",
        "messaging.client.consumed.messages",
        "messaging.process.duration",
    }
    send = (
        ("messaging.destination.name", "user.registered"),
        ("messaging.operation.name", "send"),
        ("messaging.system", "kafka"),
    )
    assert points(found["messaging.client.sent.messages"])[send].value == 2
    duration = found["messaging.client.operation.duration"]
    assert (points(duration)[send].count, duration.unit) == (1, "s")
    assert tuple(points(duration)[send].explicit_bounds) == BUCKETS
    ((attributes, attempt),) = points(found["messaging.process.duration"]).items()
    assert dict(attributes)["error.type"] == "LookupError"
    assert attempt.count == 1
    ((attributes, consumed),) = points(found["messaging.client.consumed.messages"]).items()
    assert (dict(attributes)["messaging.destination.name"], consumed.value) == ("greet", 1)
