"""One POST of JSON over HTTP, which is taken or raises; of its address only the host is ever told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from asyncflow.errors import NoticeNotSentError, OptionError
from asyncflow.text import printable, shown

TIMEOUT_SECONDS = 10.0
_MOST_READ = 64 * 1024


class _StaysThere(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow no redirect: a POST that becomes a GET elsewhere tells nobody."""


_OPENER = build_opener(_StaysThere)


def require_url(url: Any) -> str:
    """Return an http or https URL with a host; raises OptionError, which does not show it: it may be a secret."""
    try:
        parts = urlsplit(url)
        is_fit = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except (ValueError, TypeError, AttributeError):
        is_fit = False
    if not is_fit or not url.isascii() or not url.isprintable() or " " in url:
        kind = shown(url.partition(":")[0]) if isinstance(url, str) else shown(url)
        raise OptionError(f"the URL of a notice begins with {kind}; give http://HOST/... or https://HOST/... in ASCII")
    if "@" in parts.netloc:  # the client would take a part of it for a port, and tell it
        raise OptionError(f"the URL of a notice to {parts.hostname} holds a user; give one without")
    return str(url)


def post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Send JSON, return the answer's beginning; raises NoticeNotSentError for anything but a 2xx."""
    request = Request(url, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, method="POST")
    host = urlsplit(url).hostname
    try:
        with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return bytes(answer.read(_MOST_READ))
    except HTTPError as error:
        with error:
            raise NoticeNotSentError(f"{host} answered with {error.code}") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise NoticeNotSentError(f"{host} was not reached: {printable(reason) or type(error).__name__}") from None


def as_json(content: Any) -> bytes:
    """Return a body."""
    return json.dumps(content, ensure_ascii=False).encode()
