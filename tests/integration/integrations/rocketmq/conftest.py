"""RocketMQ where there is one; where not, its tests are skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tools.services import load
from tools.services.process import wait_until
from tools.services.rocketmq import RocketMQ


@pytest.fixture
def rocketmq_url() -> str:
    """Give the URL of RocketMQ."""
    if find_spec("rocketmq") is None:
        pytest.skip("rocketmq-python-client is not installed")
    url = load().rocketmq_url
    # Where it is started beside the tests it may be up soon.
    if url is None or not wait_until(lambda: RocketMQ().answers(*RocketMQ().endpoint(url)), 60.0):
        pytest.skip('no RocketMQ is up: make services SERVICES="rocketmq"')
    return url


@pytest.fixture
def broker(rocketmq_url: str) -> Iterator[object]:
    """Give RocketMQ behind a network of the test's own, as the suite of publishers wants it."""
    from tests.integration.integrations.rocketmq.rockets import Rockets

    rockets = Rockets(rocketmq_url)
    yield rockets
    rockets.close()
