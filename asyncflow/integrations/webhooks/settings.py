"""What a publisher to webhooks is told beside its addresses and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncflow.errors import OptionError
from asyncflow.integrations.webhooks.header_fields import fault_of_name, is_plain
from asyncflow.outbox.options import require_seconds, require_whole
from asyncflow.text import a_type_of, shown

MIN_TIMEOUT_SECONDS = 0.1
MAX_TIMEOUT_SECONDS = 300.0
MAX_RETRY_AFTER_SECONDS = 24 * 3600.0
OF_EACH_MESSAGE = frozenset({"content-type", "message-id", "message-type"})


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """Configure a publisher.

    ``connect_timeout_seconds`` bounds the way to a receiver, TLS included, ``read_timeout_seconds`` the wait for its
    answer, and ``delivery_timeout_seconds`` one ``publish`` as a whole. ``concurrency`` is how many requests a host is
    sent at once. ``max_retry_after_seconds`` is the longest that a receiver's Retry-After is heeded.

    ``retried_statuses`` are answers from 300 to 499 that cost an attempt, and else would make a dead letter at once,
    such as 404 where receivers are away while they are deployed, or 302 where they lead to a page that says so then.
    ``headers`` go with each request, such as Authorization; they are told nowhere. ``max_message_bytes`` bounds the
    body.
    """

    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 15.0
    delivery_timeout_seconds: float = 30.0
    concurrency: int = 8
    max_retry_after_seconds: float = 600.0
    retried_statuses: frozenset[int] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    max_message_bytes: int = 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse what no client could use."""
        for name in ("connect_timeout_seconds", "read_timeout_seconds", "delivery_timeout_seconds"):
            require_seconds(name, getattr(self, name), MIN_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS)
        require_whole("concurrency", self.concurrency, 1, 1000)
        require_seconds("max_retry_after_seconds", self.max_retry_after_seconds, 0, MAX_RETRY_AFTER_SECONDS)
        require_whole("max_message_bytes", self.max_message_bytes, 1, 512 * 1024 * 1024)
        _require_statuses(self.retried_statuses)
        _require_headers(self.headers)


def _require_statuses(statuses: object) -> None:
    given = statuses if isinstance(statuses, (set, frozenset)) else {None}
    if not all(type(status) is int and 300 <= status <= 499 for status in given):
        raise OptionError(f"retried_statuses={shown(statuses)} is refused: give a set of statuses from 300 to 499")


def _require_headers(headers: object) -> None:
    """Refuse what no request can carry; no value is shown, for it may be a secret."""
    if not isinstance(headers, Mapping):
        raise OptionError(f"headers is {a_type_of(headers)}; give a mapping of text to text")
    for name, value in headers.items():
        fault = fault_of_name(name) or ("each message has its own" if name.lower() in OF_EACH_MESSAGE else None)
        if fault:
            raise OptionError(f"the header {shown(name)} in headers is refused: {fault}")
        if not isinstance(value, str) or not is_plain(value):
            raise OptionError(f"the header {name!r} in headers has a value that HTTP does not carry; give plain ASCII")
