"""Redis where there is one; where not, its tests are skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis_registry import redis_at


@pytest.fixture
def redis_url() -> str:
    """Give the URL of Redis."""
    return redis_at()


@pytest.fixture
def broker(redis_url: str) -> Iterator[object]:
    """Give Redis behind a proxy, as the suite of publishers wants it."""
    from tests.integration.integrations.redis.streams import Streams

    streams = Streams(redis_url)
    yield streams
    streams.close()
