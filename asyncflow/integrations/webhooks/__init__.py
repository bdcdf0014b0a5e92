"""Publish by HTTP: each message is a signed POST to a webhook, through httpx; and the check for who receives them.

The client library is imported when a publisher is made, not when this package is.
"""

from __future__ import annotations

from asyncflow.integrations.webhooks.publisher import WebhookPublisher
from asyncflow.integrations.webhooks.settings import WebhookSettings
from asyncflow.integrations.webhooks.signing import make_secret
from asyncflow.integrations.webhooks.verifying import verify

__all__ = ["WebhookPublisher", "WebhookSettings", "make_secret", "verify"]
