"""A node of OpenSearch as the tests see it: past the publisher, and through a proxy that takes it away."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from asyncflow.integrations.opensearch import OpenSearchPublisher, OpenSearchSettings
from asyncflow.scheduler.publishing.publisher import Record
from tests.support.proxy import CuttingProxy

PATIENT_SECONDS = 120.0
SETTLED = "2026-01-02T03:04:05.{:06}Z"


class Node:
    """Ask a node by itself; make publishers that reach it through the proxy."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.index = f"asyncflow-test-{uuid.uuid4().hex}"
        self.proxy = CuttingProxy((parts.hostname, parts.port))
        self._client = httpx.Client(base_url=url, timeout=PATIENT_SECONDS, trust_env=False)
        self._publishers: list[OpenSearchPublisher] = []

    def close(self) -> None:
        for publisher in self._publishers:
            publisher.close()
        self._client.delete(f"/{self.index}")
        self._client.delete(f"/_index_template/{self.index}")
        self._client.close()
        self.proxy.close()

    def publisher(self, **settings: Any) -> OpenSearchPublisher:
        """Make a publisher that ends with the test."""
        url = f"http://127.0.0.1:{self.proxy.port}"
        given: dict[str, Any] = {"read_timeout_seconds": PATIENT_SECONDS, "delivery_timeout_seconds": PATIENT_SECONDS}
        self._publishers.append(OpenSearchPublisher(url, OpenSearchSettings(**{**given, **settings})))
        return self._publishers[-1]

    def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Return what the node answers; fails where it is no success."""
        answer = self._client.request(
            method,
            path,
            content=None if body is None else orjson.dumps(body),
            headers={"content-type": "application/json"},
        )
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return all documents of the index by their ids."""
        if self._client.head(f"/{self.index}").status_code == httpx.codes.NOT_FOUND:
            return {}
        self.ask("POST", f"/{self.index}/_refresh")
        found = self.ask("POST", f"/{self.index}/_search", {"size": 10_000})
        return {hit["_id"]: hit["_source"] for hit in found["hits"]["hits"]}

    def found(self, query: dict[str, Any]) -> list[str]:
        """Return the ids of the documents that a search finds."""
        self.ask("POST", f"/{self.index}/_refresh")
        hits = self.ask("POST", f"/{self.index}/_search", {"size": 100, "query": query})["hits"]["hits"]
        return sorted(hit["_id"] for hit in hits)

    def record(self, its_id: str, microseconds: int = 0, **fields: Any) -> Record:
        """Return an outcome as it comes from the outbox."""
        document = {"task_id": its_id, "settled_at": SETTLED.format(microseconds), **fields}
        return Record(
            self.index, its_id.encode(), orjson.dumps(document), [("message-id", uuid.uuid4().bytes.hex().encode())]
        )
