"""Publish through httpx."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from asyncflow.errors import OptionError
from asyncflow.integrations.webhooks import extras
from asyncflow.integrations.webhooks.addresses import Addresses
from asyncflow.integrations.webhooks.batch_pace import BatchPace
from asyncflow.integrations.webhooks.courier import Courier
from asyncflow.integrations.webhooks.header_fields import CLOUDEVENTS
from asyncflow.integrations.webhooks.posts import PostMaker, Secrets
from asyncflow.integrations.webhooks.session import WebhookSession
from asyncflow.integrations.webhooks.settings import WebhookSettings
from asyncflow.outbox.options import FLAG, OptionKind, options_given, require_kinds, settings_given
from asyncflow.scheduler.publishing.publisher import Outcome, Record, Unavailable
from asyncflow.scheduler.publishing.sessions.link import Link

# Shorter than servers let a connection be idle, of which 5 s is common: who is sent something as it closes loses it.
KEPT_IDLE_SECONDS = 3.0
# What the publisher decides itself, and how to say it.
OWN = {
    "retries": "the outbox tries again; a client's own would send twice what was sent",
    "limits": "use WebhookSettings(concurrency=...)",
    "trust_env": "give proxy= and verify=, for nothing is read from the environment",
}
# httpx takes an empty one for none: no look at the certificate, no certificate of one's own, no proxy.
KINDS = {
    "verify": OptionKind((bool, str, ssl.SSLContext), "an ssl.SSLContext, True or False"),
    "cert": OptionKind((str, tuple), "the path of a file, or a pair of them"),
    "proxy": OptionKind((object,), "its URL"),
    "http1": FLAG,
    "http2": FLAG,
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
        self._options = _checked(options_given(client_options))
        self._options.setdefault("verify", self._library.create_ssl_context(trust_env=False))
        self._transport()
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
        courier = Courier(self._library, self._transport(), self._settings, tells_hosts_apart=apart)
        return WebhookSession(self._maker, courier)

    def _transport(self) -> Any:
        limits = self._library.Limits(max_connections=None, keepalive_expiry=KEPT_IDLE_SECONDS)
        try:
            return self._library.AsyncHTTPTransport(limits=limits, trust_env=False, retries=0, **self._options)
        except (TypeError, ImportError) as error:  # the name of an option, or what http2 needs
            raise OptionError(f"client_options are refused by httpx: {error}") from None
        except (ValueError, OSError) as error:  # whose text may hold a proxy's password
            raise OptionError(
                f"client_options are refused by httpx: a value is at fault ({type(error).__name__})"
            ) from None


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    for name, remedy in OWN.items():
        if name in options:
            raise OptionError(f"client option {name} is refused: {remedy}")
    require_kinds(options, KINDS)
    return options
