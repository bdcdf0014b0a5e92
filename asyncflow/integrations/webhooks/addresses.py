"""Where the webhook of a topic is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import SplitResult, quote, urlsplit

from asyncflow.errors import OptionError
from asyncflow.text import a_type_of

TOPIC = "{topic}"
WANTED = "give https://HOST/PATH, with {topic} where the topic belongs, or a function (topic) -> URL"
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


class Address(NamedTuple):
    """Hold a URL, which may be a secret, and the host, which is told."""

    url: str
    host: str  # with its port

    @property
    def origin(self) -> str:
        """Return scheme, host and port."""
        return self.url.partition("://")[0] + "://" + self.host


class UnfitUrlError(Exception):
    """A URL is none that a webhook can have; the text says why, and does not show it."""


class Addresses:
    """Tell the address of each topic, by a URL for all, one with ``{topic}`` in it, or a function of the user's."""

    def __init__(self, url: str | Callable[[str], str]) -> None:
        """Raise OptionError for what leads nowhere."""
        self._url = url
        self.have_many_hosts = callable(url)
        if callable(url):
            return
        try:
            plain = url.replace(TOPIC, "topic") if isinstance(url, str) else url
            if "{" in str(plain) or "}" in str(plain):
                raise UnfitUrlError("it has braces around something else than topic")
            address_of(plain)
        except UnfitUrlError as error:
            raise OptionError(f"url is refused: {error}; {WANTED}") from None
        self.have_many_hosts = TOPIC in urlsplit(url).netloc

    def of(self, topic: str) -> Address:
        """Return the address of a topic; raises UnfitUrlError, and what the user's function raises."""
        if callable(self._url):
            return address_of(self._url(topic))
        if TOPIC not in self._url:
            return address_of(self._url)
        if topic in (".", ".."):
            raise UnfitUrlError("as a part of a path it means another one")
        return address_of(self._url.replace(TOPIC, quote(topic, safe="")))

    def fault(self, topic: str) -> str | None:
        """Return why a topic has no address, or None."""
        try:
            self.of(topic)
        except UnfitUrlError as error:
            return f"its URL is refused: {error}"
        except Exception as error:  # noqa: BLE001 - the user's function; its text may hold what is secret
            return f"the function url raised {type(error).__name__}"
        return None


def address_of(url: object) -> Address:
    """Return the address of an http or https URL; raises UnfitUrlError."""
    if not isinstance(url, str):
        raise UnfitUrlError(f"it is {a_type_of(url)}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise UnfitUrlError("it cannot be read as a URL") from None
    if fault := _fault(url, parts, host, port):
        raise UnfitUrlError(fault)
    shown = f"[{host}]" if ":" in str(host) else str(host)
    return Address(url, shown if port is None else f"{shown}:{port}")


def _fault(url: str, parts: SplitResult, host: str | None, port: int | None) -> str | None:
    if parts.scheme not in ("http", "https"):
        return "it does not begin with https:// or http://"
    if "@" in parts.netloc:
        return "it holds a user; give credentials in WebhookSettings(headers=...)"
    if not host or not _HOST.fullmatch(host) or port == 0:
        return "it names no host, or one that is not written in ASCII"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "it has characters that have to be percent-encoded"
    return "it has a fragment (#), which is sent to nobody" if parts.fragment else None
