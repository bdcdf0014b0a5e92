"""The database or the broker is killed under the load of a cluster: the schedulers survive, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from sqlalchemy import NullPool, create_engine

from asyncflow import Status
from tests.chaos.bank import Bank
from tests.chaos.cluster_run import ClusterRun
from tests.chaos.findings import Tell
from tests.chaos.fixtures import in_short_and_long, on_mariadb, plan_of
from tests.chaos.oracle import Verdict
from tests.chaos.private_server import PrivateServer, private_server
from tests.chaos.topics import PARTITIONS
from tools.services.kafka import Kafka
from tools.services.mariadb import MariaDB

_ANSWER_SECONDS = 60.0


@in_short_and_long
def test_mariadb_killed_and_restarted_under_load_loses_nothing(
    form: str, request: pytest.FixtureRequest, topic: str, finding: Tell
) -> None:
    with private_server(MariaDB()) as server:
        bank = Bank(create_engine(server.url, poolclass=NullPool), topic)
        bank.create_tables()
        run = ClusterRun(
            request.node.name, bank, plan_of(bank, topic, "confluent-kafka", application="bank", lease_seconds=2.0)
        )
        with closing(run):
            run.start_cluster(2)
            run.start_writers()
            waits = kill_under_load(run, server, 5 if form == "long" else 1)
            wrote = run.dismiss_writers()
            verdict = finish(run, max(waits), finding)
        finding(f"  errors that reached a producer while it was away: {wrote['errors']}")
        assert verdict.is_clean


@on_mariadb
@in_short_and_long
def test_kafka_killed_and_restarted_under_load_fails_no_row(form: str, bank: Bank, request: Any, finding: Tell) -> None:
    with private_server(Kafka()) as server, topic_on(server) as topic:
        own = Bank(bank.engine, topic)
        plan = plan_of(own, topic, "confluent-kafka", application="bank", lease_seconds=2.0)
        run = ClusterRun(request.node.name, own, replace(plan, bootstrap=server.url))
        with closing(run):
            run.start_cluster(2)
            run.start_writers()
            waits = kill_under_load(run, server, 3 if form == "long" else 1)
            run.dismiss_writers()
            verdict = finish(run, max(waits), finding, server.url)
        assert verdict.is_clean
        assert own.count(Status.FAILED) == 0


def kill_under_load(run: ClusterRun, server: PrivateServer, rounds: int) -> list[float]:
    """Kill the server and start it again, round after round; return how long each took to be at work again."""
    waits = []
    for _ in range(rounds):
        await_batch_after(run, time.monotonic())
        killed_at = time.monotonic()
        server.kill()
        server.start()
        waits.append(await_batch_after(run, time.monotonic()) - killed_at)
    return waits


def await_batch_after(run: ClusterRun, moment: float) -> float:
    """Wait until each scheduler has settled a batch after a moment; return when the last did."""
    moments = []
    for scheduler in run.schedulers:

        def batches(one: Any = scheduler) -> list[float]:
            return [event["at"] for event in one.of("settled") if event["at"] > moment]

        scheduler.wait_for(lambda find=batches: bool(find()), timeout_seconds=120)  # type: ignore[misc]
        moments.append(batches()[0])
    return max(moments)


def finish(run: ClusterRun, seconds: float, finding: Tell, address: str | None = None) -> Verdict:
    run.settle_all()
    run.stop_all()
    verdict = run.verdict(seconds, address)
    finding(verdict)
    finding(verdict.as_json())
    return verdict


@contextmanager
def closing(run: ClusterRun) -> Iterator[None]:
    try:
        yield
    finally:
        run.close()


@contextmanager
def topic_on(server: PrivateServer) -> Iterator[str]:
    admin = AdminClient({"bootstrap.servers": server.url})
    admin.create_topics([NewTopic("moves", PARTITIONS, 1)])["moves"].result(_ANSWER_SECONDS)
    yield "moves"
