"""Publish to a search index through httpx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncflow.integrations.opensearch import extras
from asyncflow.integrations.opensearch.actions import index_fault
from asyncflow.integrations.opensearch.server import SearchPlace, SearchServer
from asyncflow.integrations.opensearch.session import OpenSearchSession
from asyncflow.integrations.opensearch.settings import OpenSearchSettings
from asyncflow.outbox.options import options_given, settings_given
from asyncflow.scheduler.publishing.publisher import Outcome, Record
from asyncflow.scheduler.publishing.sessions.http_transports import HttpTransports
from asyncflow.scheduler.publishing.sessions.link import Link

# What the publisher decides itself, and how to say it.
OWN = {
    "retries": "the outbox tries again",
    "limits": "one request at a time is sent",
    "trust_env": "give proxy= and verify=, for nothing is read from the environment",
}


class OpenSearchPublisher:
    """Index records, each a JSON object, by the bulk API; live as long as the scheduler that was given it.

    A topic is an index, a key the document's id. Connections are made by the first ``publish`` and kept, so neither an
    unreachable server nor a fork does harm. Nothing is tried again here: the outbox does that, for each document.
    """

    def __init__(
        self,
        url: str,
        settings: OpenSearchSettings | None = None,
        *,
        client_options: Mapping[str, object] | None = None,
    ) -> None:
        """Check the options and connect to nothing; raise OptionError or MissingExtraError.

        ``url`` is that of a node or of what stands before them. ``client_options`` are those of
        ``httpx.AsyncHTTPTransport``, such as ``verify`` (an ``ssl.SSLContext``) and ``proxy``.
        """
        self._settings = settings_given(settings, OpenSearchSettings)
        self._place = SearchPlace.of(url)
        self._library = extras.httpx()
        self._transports = HttpTransports(self._library, options_given(client_options), OWN)
        self._link = Link(self._connect, self._settings.delivery_timeout_seconds)

    system = "opensearch"
    keeps_key_order = True  # and an older document changes nothing

    def topic_fault(self, topic: str) -> str | None:
        """Return why a topic is no index, or None."""
        return index_fault(topic)

    @property
    def max_record_bytes(self) -> int:
        """Return ``max_bulk_bytes``."""
        return self._settings.max_bulk_bytes

    def publish(self, batch: Sequence[Record]) -> Sequence[Outcome]:
        """Index the records and return one outcome for each, in order, within about ``delivery_timeout_seconds``.

        What is Sent is in the server's own log on disk, and found by searches after the index's next refresh.
        """
        return self._link.publish(batch)

    def close(self) -> None:
        """End connections and thread; further publishing is Unavailable. May be called twice, and by another thread."""
        self._link.close()

    def _connect(self, deadline: float) -> OpenSearchSession:
        server = SearchServer(self._library, self._transports.make(), self._place, self._settings)
        return OpenSearchSession(self._library, server, self._settings)
