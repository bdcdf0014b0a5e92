"""The publishers to Kafka, on the real broker: the suite of publishers, for both clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.integrations.kafka.adapters import Adapter
from tests.integration.integrations.kafka.cluster import Cluster
from tests.support.own_publisher_suite import OwnPublisherSuite
from tools.services import load

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]  # run by `make test-everywhere`


@pytest.fixture
def broker(adapter: Adapter) -> Iterator[Cluster]:
    services = load()
    if not (services.kafka_is_real and services.kafka_bootstrap):
        pytest.skip("no Apache Kafka is up: `make services` brings it up")
    cluster = Cluster(services.kafka_bootstrap, adapter)
    yield cluster
    cluster.close()


class TestKafkaPublishers(OwnPublisherSuite):
    """All of it but what a broker without an authorizer cannot do, and a record that is refused for now, which the
    clients try again for all of their time: that is asked of the mock cluster.
    """
