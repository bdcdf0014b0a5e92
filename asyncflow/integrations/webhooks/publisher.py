"""Publish through httpx."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from asyncflow.integrations.webhooks import extras
from asyncflow.integrations.webhooks.addresses import Addresses
from asyncflow.integrations.webhooks.batch_pace import BatchPace
from asyncflow.integrations.webhooks.courier import Courier
from asyncflow.integrations.webhooks.header_fields import CLOUDEVENTS
from asyncflow.integrations.webhooks.posts import PostMaker, Secrets
from asyncflow.integrations.webhooks.session import WebhookSession
from asyncflow.integrations.webhooks.settings import WebhookSettings
from asyncflow.outbox.options import options_given, settings_given
from asyncflow.scheduler.publishing.publisher import Outcome, Record, Unavailable
from asyncflow.scheduler.publishing.sessions.http_transports import HttpTransports
from asyncflow.scheduler.publishing.sessions.link import Link

# Shorter than servers let a connection be idle, of which 5 s is common: who is sent something as it closes loses it.
KEPT_IDLE_SECONDS = 3.0
# What the publisher decides itself, and how to say it.
OWN = {
    "retries": "the outbox tries again; a client's own would send twice what was sent",
    "limits": "use WebhookSettings(concurrency=...)",
    "trust_env": "give proxy= and verify=, for nothing is read from the environment",
}


class WebhookPublisher:
    """Publish records as signed POSTs; live as long as the scheduler that was given it.

    Connections are made by the first ``publish`` and kept between batches, so neither an unreachable receiver nor a
    fork does harm. Nothing is tried again here: the outbox does that.
    """

    def __init__(
        self,
        url: str | Callable[[str], str],
        secrets: Secrets,
        settings: WebhookSettings | None = None,
        *,
        client_options: Mapping[str, object] | None = None,
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError.

        ``url`` is the webhook of all topics, one with ``{topic}`` in it, or a function (topic) -> URL. ``secrets`` is a
        text ``whsec_...``, several in a list while one is being replaced, a function (topic) -> those, or None for
        requests that nobody can check. ``client_options`` are those of ``httpx.AsyncHTTPTransport``, such as ``verify``
        (an ``ssl.SSLContext``, which may hold a client's certificate), ``proxy`` and ``http2``.
        """
        self._settings = settings_given(settings, WebhookSettings)
        self._library = extras.httpx()
        self._addresses = Addresses(url)
        self._maker = PostMaker(self._addresses, secrets, self._settings)
        limits = self._library.Limits(max_connections=None, keepalive_expiry=KEPT_IDLE_SECONDS)
        self._transports = HttpTransports(self._library, options_given(client_options), OWN, limits)
        self._pace = BatchPace(self._settings.concurrency)
        self._link = Link(self._connect, self._settings.delivery_timeout_seconds)

    system = "webhooks"
    event_prefix = CLOUDEVENTS
    keeps_key_order = True  # those of a key go one after another

    def topic_fault(self, topic: str) -> str | None:
        """Return why a topic has no webhook, or None."""
        return self._addresses.fault(topic)

    @property
    def max_record_bytes(self) -> int:
        """Return ``max_message_bytes``."""
        return self._settings.max_message_bytes

    @property
    def records_at_once(self) -> int:
        """Return how many records receivers have lately answered in two seconds."""
        return self._pace.records_at_once

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Send the records and return one outcome for each, in order, within about ``delivery_timeout_seconds``.

        A record whose answer was lost may have been taken all the same: receivers know it by ``webhook-id``.
        """
        began = monotonic()
        outcomes = self._link.publish(batch)
        answered = sum(not isinstance(outcome, Unavailable) for outcome in outcomes)
        self._pace.observe(answered, monotonic() - began)
        return outcomes

    def close(self) -> None:
        """End connections and thread; further publishing is Unavailable. May be called twice, and by another thread."""
        self._link.close()

    def _connect(self, deadline: float) -> WebhookSession:
        apart = self._addresses.have_many_hosts
        courier = Courier(self._library, self._transports.make(), self._settings, tells_hosts_apart=apart)
        return WebhookSession(self._maker, courier)
