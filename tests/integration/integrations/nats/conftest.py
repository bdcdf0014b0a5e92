"""NATS where there is one; where not, its tests are skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.services import load
from tools.services.nats import Nats
from tools.services.process import wait_until


@pytest.fixture
def nats_url() -> str:
    """Give the URL of NATS."""
    pytest.importorskip("nats")
    url = load().nats_url
    # Where it is started beside the tests it may be up soon.
    if url is None or not wait_until(lambda: Nats().answers(*Nats().endpoint(url)), 60.0):
        pytest.skip('no NATS is up: make services SERVICES="nats"')
    return url


@pytest.fixture
def broker(nats_url: str) -> Iterator[object]:
    """Give NATS behind a proxy, as the suite of publishers wants it."""
    from tests.integration.integrations.nats.jets import Jets

    jets = Jets(nats_url)
    yield jets
    jets.close()
