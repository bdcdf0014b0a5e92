"""A search server, as one session of a publisher reaches it."""

from __future__ import annotations

import asyncio
from time import monotonic
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from asyncflow.errors import OptionError
from asyncflow.integrations.opensearch.settings import OpenSearchSettings
from asyncflow.text import a_type_of

# What is asked for of the answer to a bulk: of thousands of items that were taken it would tell a hundred bytes each.
BULK = "/_bulk?filter_path=error,items.*.status,items.*.error"


class SearchPlace(NamedTuple):
    """Hold where a server is: a URL, which may have a path, and its host, which is told."""

    url: str
    host: str

    @classmethod
    def of(cls, url: object) -> SearchPlace:
        """Return the place that a URL names; raises OptionError, which shows none of it."""
        wanted = "give http(s)://HOST:PORT, and a user and password by OpenSearchSettings(headers=...)"
        if not isinstance(url, str):
            raise OptionError(f"url is {a_type_of(url)}; {wanted}")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise OptionError(f"url is none that can be read; {wanted}") from None
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or "@" in parts.netloc:
            raise OptionError(f"url is refused; {wanted}")
        return cls(url.rstrip("/"), host if port is None else f"{host}:{port}")


class Answer(NamedTuple):
    """Hold what came back: the status of HTTP, and the content."""

    status: int
    content: bytes


class SearchServer:
    """Ask one server; lives as long as its session, used on its loop alone."""

    def __init__(self, library: ModuleType, transport: Any, place: SearchPlace, settings: OpenSearchSettings) -> None:
        self._library = library
        self._transport = transport
        self.place = place
        seconds = settings.read_timeout_seconds
        self._timeouts = {"connect": settings.connect_timeout_seconds, "read": seconds, "write": seconds, "pool": None}
        self._longest_seconds = settings.connect_timeout_seconds + seconds
        self._headers = {"user-agent": "asyncflow", **settings.headers}

    async def bulk(self, body: bytes, deadline: float) -> Answer:
        """Send a bulk; return the answer, by about ``deadline`` (monotonic seconds)."""
        return await self._ask("POST", BULK, body, "application/x-ndjson", deadline)

    async def put_template(self, name: str, body: bytes, deadline: float) -> Answer:
        """Put an index template there, in place of an older one of that name."""
        return await self._ask("PUT", f"/_index_template/{quote(name, safe='')}", body, "application/json", deadline)

    async def end(self) -> None:
        """Close every connection."""
        await self._transport.aclose()
        for _ in range(2):  # asyncio closes a socket when its transport's last callback has run
            await asyncio.sleep(0)

    async def _ask(self, method: str, path: str, body: bytes, content_type: str, deadline: float) -> Answer:
        request = self._library.Request(
            method,
            self.place.url + path,
            headers={**self._headers, "content-type": content_type},
            content=body,
            extensions={"timeout": self._timeouts},
        )
        # The client bounds each of its reads, of which an answer may need many.
        seconds = min(self._longest_seconds, max(0.0, deadline - monotonic()))
        return await asyncio.wait_for(self._exchange(request), seconds)

    async def _exchange(self, request: Any) -> Answer:
        response = await self._transport.handle_async_request(request)
        try:
            return Answer(response.status_code, await response.aread())
        finally:
            await response.aclose()
