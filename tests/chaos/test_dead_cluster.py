"""A topic on a dead cluster hurts nobody else, and its own rows wait without spending an attempt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from statistics import median

import pytest
from sqlalchemy import Engine

from asyncflow import Status
from asyncflow.integrations.kafka import KafkaSettings
from asyncflow.scheduler import Publisher
from tests.chaos.dead_ports import DEAD_PORTS
from tests.chaos.findings import Tell
from tests.chaos.fixtures import on_mariadb
from tests.chaos.oracle import judge
from tests.chaos.plan import CLIENTS
from tests.chaos.publishers import publisher_of
from tests.chaos.topics import bootstrap, on_mock, own_topic, read_whole
from tests.chaos.two_clusters import CLUSTER_A, CLUSTER_B, TwoClusters

DUE_ON_THE_DEAD = 10_000
LEAST_RATIO = 0.7
ALL_UNTOUCHED = {(Status.PENDING, 0): DUE_ON_THE_DEAD}
# Short, so that the dead cluster is asked as often as can be while the other one is measured.
IMPATIENT = KafkaSettings(delivery_timeout_seconds=1.0)

Topics = dict[str, str]


@pytest.fixture
def topics() -> Iterator[Topics]:
    with own_topic("alive") as alive, own_topic("dead") as dead:
        yield {CLUSTER_A: alive, CLUSTER_B: dead}


@pytest.mark.alone
@on_mariadb
@pytest.mark.parametrize(("port", "client"), [("refusing", "confluent-kafka"), ("silent", "kafka-python")])
def test_a_topic_flows_as_if_alone_beside_10000_rows_of_a_dead_cluster(
    engine: Engine, topics: Topics, port: str, client: str, finding: Tell
) -> None:
    _prove(Proof(engine, topics, client, finding), port, messages=10_000, rounds=4)


@pytest.mark.long
@pytest.mark.timeout(600)
@on_mariadb
@pytest.mark.parametrize("port", DEAD_PORTS)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_topic_flows_as_if_alone_for_long_beside_10000_rows_of_a_dead_cluster(
    engine: Engine, topics: Topics, port: str, client: str, finding: Tell
) -> None:
    _prove(Proof(engine, topics, client, finding), port, messages=40_000, rounds=6)


class Proof:
    """Measure cluster_a alone and beside a dead cluster_b, in tables of their own, with one client."""

    def __init__(self, engine: Engine, topics: Topics, client: str, finding: Tell) -> None:
        self.alone = TwoClusters(engine, "alone_", {CLUSTER_A: topics[CLUSTER_A]})
        self.beside = TwoClusters(engine, "beside_", topics)
        self.topics = topics
        self.client = client
        self.finding = finding
        self.published: list[str] = []

    def rates(self, messages: int, dead_address: str, *, alone_first: bool) -> tuple[float, float]:
        """Return the rates alone and beside the dead; which goes first changes, for the machine's pace drifts."""
        if alone_first:
            return self.rate_alone(messages), self.rate_beside(messages, dead_address)
        beside = self.rate_beside(messages, dead_address)
        return self.rate_alone(messages), beside

    def rate_alone(self, messages: int) -> float:
        self.published += self.alone.publish(CLUSTER_A, messages)
        return self.alone.relay(CLUSTER_A, messages, {CLUSTER_A: self.living()}).rate

    def rate_beside(self, messages: int, dead_address: str) -> float:
        self.published += self.beside.publish(CLUSTER_A, messages)
        dead = publisher_of(self.client, dead_address, IMPATIENT)
        publishers = {CLUSTER_A: self.living(), CLUSTER_B: dead}
        return self.beside.relay(CLUSTER_A, messages, publishers).rate

    def living(self) -> Publisher:
        return publisher_of(self.client, bootstrap(), on_mock=on_mock())


def _prove(proof: Proof, port: str, *, messages: int, rounds: int) -> None:
    due = proof.beside.publish(CLUSTER_B, DUE_ON_THE_DEAD)
    with DEAD_PORTS[port]() as dead_address:
        rates = [proof.rates(messages, dead_address, alone_first=number % 2 == 0) for number in range(rounds)]
    assert proof.beside.states(CLUSTER_B) == ALL_UNTOUCHED
    assert proof.beside.outages[CLUSTER_B] >= rounds
    assert not proof.beside.outages[CLUSTER_A], "the living cluster was unreachable: the figures say nothing"
    ratio = _tell_ratio(proof, port, rates)
    _expect_revival(proof, due)
    assert proof.beside.states(CLUSTER_A) == {(Status.SUCCESS, 0): messages * rounds}
    assert judge("cluster_a", proof.published, read_whole(proof.topics[CLUSTER_A])).is_clean
    assert ratio >= LEAST_RATIO


def _tell_ratio(proof: Proof, port: str, rates: list[tuple[float, float]]) -> float:
    """Return the rate beside the dead cluster in proportion to the rate alone: of the best round of each.

    A round takes less than a second, so whatever else the machine does can halve it; the best of a few it rarely does.
    """
    columns = list(zip(*rates, strict=True))
    alone, beside = map(max, columns)
    median_alone, median_beside = map(median, columns)
    numbers = {
        "name": f"dead cluster, {port} port, {proof.client}",
        "value": round(beside),
        "unit": "messages/s",
        "beside": f"alone: {alone:.0f} messages/s",
        "ratio": round(beside / alone, 3),
        "ratio_of_medians": round(median_beside / median_alone, 3),
        "rounds": [[round(rate) for rate in pair] for pair in rates],
    }
    proof.finding(json.dumps(numbers))
    return float(beside / alone)


def _expect_revival(proof: Proof, due: list[str]) -> None:
    """Let cluster_b be the living broker: every row that waited is delivered, once."""
    publishers = {CLUSTER_A: proof.living(), CLUSTER_B: proof.living()}
    seconds = proof.beside.relay(CLUSTER_B, DUE_ON_THE_DEAD, publishers).seconds
    name = f"cluster_b after its revival ({proof.client})"
    verdict = judge(name, due, read_whole(proof.topics[CLUSTER_B]), seconds_to_recover=seconds)
    proof.finding(verdict)
    proof.finding(verdict.as_json())
    assert verdict.is_clean
    assert verdict.duplicates == 0
    assert proof.beside.states(CLUSTER_B) == {(Status.SUCCESS, 0): DUE_ON_THE_DEAD}
