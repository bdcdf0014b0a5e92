"""Redis as the registry of a test: a namespace that no other test uses, and a server of a test's own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from asyncflow.integrations.redis import RedisRegistry
from tests.chaos.private_server import PrivateServer, private_server
from tools.services import load
from tools.services.process import wait_until
from tools.services.redis import Redis


def redis_at() -> str:
    """Return the URL of the run's Redis; skips aloud without one."""
    pytest.importorskip("redis")
    url = load().redis_url
    # Where it is started beside the tests it may be up soon.
    if url is None or not wait_until(lambda: Redis().answers(*Redis().endpoint(url)), 60.0):
        pytest.skip('no Redis is up: make services SERVICES="redis"')
    return url


def own_registry(url: str | None = None, **options: Any) -> RedisRegistry:
    """Return a registry in a namespace of the test's own."""
    name = f"asyncflow-test-{os.getpid()}-{secrets.token_hex(4)}"
    return RedisRegistry(url or redis_at(), namespace=name, **options)


@contextmanager
def own_redis(*options: str) -> Iterator[PrivateServer]:
    """Start a Redis of the test's own, which keeps nothing on disk."""
    redis_at()  # its program is there, then
    with private_server(Redis(), options=["--appendonly", "no", *options]) as server:
        yield server
