"""A receiver of webhooks for each test; its client is httpx."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def broker() -> Iterator[object]:
    """Give a receiver behind a proxy, as the suite of publishers wants it."""
    pytest.importorskip("httpx")
    from tests.integration.integrations.webhooks.receiver import WebhookReceiver

    receiver = WebhookReceiver()
    yield receiver
    receiver.close()
