"""Redis where there is one; where not, its tests are skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.services import load
from tools.services.process import wait_until
from tools.services.redis import Redis


@pytest.fixture
def redis_url() -> str:
    """Give the URL of Redis."""
    pytest.importorskip("redis")
    url = load().redis_url
    # Where it is started beside the tests it may be up soon.
    if url is None or not wait_until(lambda: Redis().answers(*Redis().endpoint(url)), 60.0):
        pytest.skip('no Redis is up: make services SERVICES="redis"')
    return url


@pytest.fixture
def broker(redis_url: str) -> Iterator[object]:
    """Give Redis behind a proxy, as the suite of publishers wants it."""
    from tests.integration.integrations.redis.streams import Streams

    streams = Streams(redis_url)
    yield streams
    streams.close()
