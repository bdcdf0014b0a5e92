"""OpenSearch where there is one; where not, its tests are skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.integrations.opensearch.node import Node
from tools.services import load
from tools.services.opensearch import OpenSearch
from tools.services.process import wait_until


@pytest.fixture
def node() -> Iterator[Node]:
    """Give a node behind a proxy, with an index name of the test's own."""
    url = load().opensearch_url
    # Where it is started beside the tests it may be up soon.
    if url is None or not wait_until(lambda: OpenSearch().answers(*OpenSearch().endpoint(url)), 60.0):
        pytest.skip('no OpenSearch is up: make services SERVICES="opensearch"')
    node = Node(url)
    yield node
    node.close()


@pytest.fixture
def bootstrap() -> str:
    """Give the address of Kafka."""
    found = load().kafka_bootstrap
    if found is None:
        pytest.skip("no Kafka is up: make services")
    return found
