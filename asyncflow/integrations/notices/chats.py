"""Incoming webhooks of chats: Slack, DingTalk, WeCom, and what understands their bodies."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from urllib.parse import quote

from asyncflow.errors import NoticeNotSentError
from asyncflow.integrations.notices.posting import as_json, post, require_url
from asyncflow.scheduler.notices import Notice
from asyncflow.text import printable

_MOST_SLACK = 40_000  # characters of a message
_MOST_DINGTALK, _MOST_WECOM = 18_000, 4_000  # bytes of one, with room to spare


class Slack:
    """Be a channel to an incoming webhook of Slack, or of what takes its body. Raises OptionError."""

    def __init__(self, url: str) -> None:
        self._url = require_url(url)

    def send(self, notice: Notice) -> None:
        """Post it; raises NoticeNotSentError."""
        # What Slack would take for links and mentions.
        text = _text(notice).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        post(self._url, as_json({"text": text[:_MOST_SLACK]}))


class DingTalk:
    """Be a channel to a robot of DingTalk; with ``secret`` where the robot asks for a signature. Raises OptionError."""

    def __init__(self, url: str, secret: str | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._url = require_url(url)
        self._secret = secret
        self._clock = clock

    def send(self, notice: Notice) -> None:
        """Post it; raises NoticeNotSentError, also for an error in an answer of 200."""
        content = {"title": notice.title, "text": _shortened(_text(notice, "\n\n"), _MOST_DINGTALK)}
        _require_taken(post(self._signed(), as_json({"msgtype": "markdown", "markdown": content})), "DingTalk")

    def _signed(self) -> str:
        if self._secret is None:
            return self._url
        timestamp = str(round(self._clock() * 1000))
        signed = hmac.new(self._secret.encode(), f"{timestamp}\n{self._secret}".encode(), hashlib.sha256).digest()
        sign = quote(base64.b64encode(signed), safe="")
        return f"{self._url}{'&' if '?' in self._url else '?'}timestamp={timestamp}&sign={sign}"


class WeCom:
    """Be a channel to a robot of a group in WeCom. Raises OptionError."""

    def __init__(self, url: str) -> None:
        self._url = require_url(url)

    def send(self, notice: Notice) -> None:
        """Post it; raises NoticeNotSentError, also for an error in an answer of 200."""
        content = {"content": _shortened(_text(notice), _MOST_WECOM)}
        _require_taken(post(self._url, as_json({"msgtype": "markdown", "markdown": content})), "WeCom")


def _text(notice: Notice, line_end: str = "\n") -> str:
    return line_end.join([notice.title, *notice.lines()])


def _shortened(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode(errors="ignore")


def _require_taken(answer: bytes, whose: str) -> None:
    try:
        told = json.loads(answer)
        code, text = told["errcode"], told.get("errmsg", "")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoticeNotSentError(f"{whose} answered with something else than errcode") from None
    if code != 0:
        raise NoticeNotSentError(f"{whose} answered with errcode {printable(code)}: {printable(text)[:200]}")
