"""Channels by their URLs, as ``asyncflow run --notify`` takes them."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from asyncflow.errors import OptionError
from asyncflow.integrations.notices.chats import DingTalk, Slack, WeCom
from asyncflow.integrations.notices.email import Email
from asyncflow.integrations.notices.webhook import Webhook
from asyncflow.scheduler.notices import Channel
from asyncflow.text import a_type_of, shown

_MAIL = {"smtp": ("none", 25), "smtp+starttls": ("starttls", 587), "smtps": ("tls", 465)}
FORMS = (
    "https://HOST/..., slack+https://..., dingtalk+https://..., wecom+https://..., or "
    "smtp+starttls://USER:PASSWORD@HOST/?from=a@b&to=c@d"
)


def channel_at(url: str, secret: str | None = None) -> Channel:
    """Return the channel that a URL names; ``secret`` signs what a webhook, or DingTalk's robot, is sent.

    Raises OptionError, which does not show what may be a secret.
    """
    if not isinstance(url, str):
        raise OptionError(f"the URL of a notice is {a_type_of(url)}; give {FORMS}")
    kind, _, rest = url.partition("+") if url.partition("://")[0] in _CHATS else ("", "", url)
    if kind == "slack":
        return Slack(rest)
    if kind == "dingtalk":
        return DingTalk(rest, secret)
    if kind == "wecom":
        return WeCom(rest)
    parts = _parts_of(url)
    if parts.scheme in _MAIL:
        return _mail(parts)
    if parts.scheme in ("http", "https"):
        return Webhook(url, secret)
    raise OptionError(f"nobody can be notified at {shown(parts.scheme)}; give {FORMS}")


_CHATS = {f"{kind}+{scheme}" for kind in ("slack", "dingtalk", "wecom") for scheme in ("http", "https")}


def _parts_of(url: str) -> SplitResult:
    """Return the parts of a URL whose port is one; an error of the parser's own would tell a part of a password."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.port is None or parts.port > 0:
            return parts
    raise OptionError(
        f"the URL of a notice cannot be read; escape /, ? and # in a password (%2F, %3F, %23); give {FORMS}"
    )


def _mail(parts: SplitResult) -> Email:
    security, port = _MAIL[parts.scheme]
    given = parse_qs(parts.query.replace("+", "%2B"))  # ops+alerts@shop.test is an address, and no form's space
    unknown = set(given) - {"from", "to"} or parts.path.strip("/")
    if unknown or not parts.hostname or len(given.get("from", ())) != 1 or not given.get("to"):
        raise OptionError(f"e-mail needs a host, one from= and some to=, and nothing else; give {FORMS}")
    return Email(
        host=parts.hostname,
        port=parts.port or port,
        security=security,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        sender=given["from"][0],
        to=[address for text in given["to"] for address in text.split(",")],
    )
