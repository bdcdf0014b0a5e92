"""etcd as the registry of a test: a namespace that no other test uses, and a server of a test's own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from asyncflow.integrations.etcd import EtcdRegistry
from tests.chaos.private_server import PrivateServer, private_server
from tools.services import load
from tools.services.etcd import Etcd
from tools.services.process import wait_until


def etcd_at() -> str:
    """Return the URL of the run's etcd; skips aloud without one."""
    pytest.importorskip("etcd3gw")
    url = load().etcd_url
    # Where it is started beside the tests it may be up soon.
    if url is None or not wait_until(lambda: Etcd().answers(*Etcd().endpoint(url)), 60.0):
        pytest.skip('etcd is not up: make services SERVICES="etcd"')
    return url


def own_registry(urls: str | None = None, **options: Any) -> EtcdRegistry:
    """Return a registry in a namespace of the test's own."""
    name = f"asyncflow-test-{os.getpid()}-{secrets.token_hex(4)}"
    return EtcdRegistry(urls or etcd_at(), namespace=name, **options)


def client_of(url: str) -> Any:
    """Return a client of one's own."""
    import etcd3gw

    host, port = Etcd().endpoint(url)
    return etcd3gw.Etcd3Client(host, port, timeout=60)


def expire(registry: EtcdRegistry, job: str, instance: str) -> None:
    """Delete the sign of an instance, as the end of its lease does."""
    client_of(registry.urls).delete(f"/{registry.namespace}/{quote(job, safe='')}/signs/{quote(instance, safe='')}")


def texts_below(registry: EtcdRegistry) -> dict[str, str]:
    """Return the texts of all keys of a test, by their paths below its namespace."""
    begin = f"/{registry.namespace}"
    pairs = client_of(registry.urls).get_prefix(begin + "/")
    return {about["key"].decode().removeprefix(begin): text.decode() for text, about in pairs}


@contextmanager
def own_etcd() -> Iterator[PrivateServer]:
    """Start an etcd of the test's own."""
    etcd_at()  # its program is there, then
    with private_server(Etcd()) as server:
        yield server
