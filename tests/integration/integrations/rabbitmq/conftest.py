"""RabbitMQ where there is one; where not, its tests are skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.services import load
from tools.services.process import wait_until
from tools.services.rabbitmq import RabbitMQ


@pytest.fixture
def rabbitmq_url() -> str:
    """Give the URL of RabbitMQ."""
    pytest.importorskip("pika")
    url = load().rabbitmq_url
    # Where it is started beside the tests it may be up soon.
    if url is None or not wait_until(lambda: RabbitMQ().answers(*RabbitMQ().endpoint(url)), 60.0):
        pytest.skip('no RabbitMQ is up: make services SERVICES="rabbitmq"')
    return url


@pytest.fixture
def broker(rabbitmq_url: str) -> Iterator[object]:
    """Give RabbitMQ behind a proxy, as the suite of publishers wants it."""
    from tests.integration.integrations.rabbitmq.rabbit import Rabbit

    rabbit = Rabbit(rabbitmq_url)
    yield rabbit
    rabbit.close()
