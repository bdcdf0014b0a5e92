"""What crash tests and acceptance tests share: a shop on a real database, a topic of its own, crash runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.chaos.bank import Bank
from tests.chaos.cluster_run import ClusterRun, StartClusterRun
from tests.chaos.crash_run import CrashRun
from tests.chaos.plan import CLIENTS, Plan
from tests.chaos.shop import Shop
from tests.chaos.topics import bootstrap, on_mock, own_topic

StartRun = Callable[..., CrashRun]
in_short_and_long = pytest.mark.parametrize(
    "form", ["short", pytest.param("long", marks=[pytest.mark.long, pytest.mark.timeout(1200)])]
)

on_mariadb = pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
on_servers = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
with_each_client = pytest.mark.parametrize("client", CLIENTS)
# Each database and each client, without each pair of them.
on_servers_and_clients = pytest.mark.parametrize(
    ("database_url", "client"),
    [("mariadb", "kafka-python"), ("postgresql", "confluent-kafka")],
    indirect=["database_url"],
)


def plan_of(shop: Shop | Bank, topic: str, client: str, **options: Any) -> Plan:
    """Return the plan of processes that work on the shop's database and on the Kafka of this test run."""
    url = shop.engine.url.render_as_string(hide_password=False)
    return Plan(database_url=url, bootstrap=bootstrap(), topic=topic, client=client, on_mock=on_mock(), **options)


@pytest.fixture
def topic() -> Iterator[str]:
    """Give a topic of this test's own."""
    with own_topic("orders") as name:
        yield name


@pytest.fixture
def shop(engine: Engine, topic: str) -> Shop:
    """Give a shop with its tables; name the database by parametrizing ``database_url``."""
    shop = Shop(engine, topic)
    shop.create_tables()
    return shop


@pytest.fixture
def crash_run(request: pytest.FixtureRequest, shop: Shop, topic: str) -> Iterator[StartRun]:
    """Give a function that begins a crash run; its processes end with the test."""
    runs: list[CrashRun] = []

    def begin(client: str, **options: str) -> CrashRun:
        runs.append(CrashRun(request.node.name, shop, plan_of(shop, topic, client, **options)))
        return runs[-1]

    yield begin
    for run in runs:
        run.close()


@pytest.fixture
def bank(engine: Engine, topic: str) -> Bank:
    """Give a bank with its tables; name the database by parametrizing ``database_url``."""
    bank = Bank(engine, topic)
    bank.create_tables()
    return bank


@pytest.fixture
def cluster_run(request: pytest.FixtureRequest, bank: Bank, topic: str) -> Iterator[StartClusterRun]:
    """Give a function that begins a run of several schedulers; its processes end with the test."""
    runs: list[ClusterRun] = []

    def begin(client: str = "confluent-kafka", **options: Any) -> ClusterRun:
        plan = plan_of(bank, topic, client, application="bank", **options)
        runs.append(ClusterRun(request.node.name, bank, plan))
        return runs[-1]

    yield begin
    for run in runs:
        run.close()
