"""Judge what RabbitMQ answers: which answers end a task, which spend an attempt, which spend none."""

from __future__ import annotations

import re

from asyncflow.scheduler.publishing.publisher import Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.texts import one_line

NAMES = {
    311: "CONTENT_TOO_LARGE",
    312: "NO_ROUTE",
    313: "NO_CONSUMERS",
    320: "CONNECTION_FORCED",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    501: "FRAME_ERROR",
    502: "SYNTAX_ERROR",
    503: "COMMAND_INVALID",
    504: "CHANNEL_ERROR",
    505: "UNEXPECTED_FRAME",
    506: "RESOURCE_ERROR",
    530: "NOT_ALLOWED",
    540: "NOT_IMPLEMENTED",
    541: "INTERNAL_ERROR",
}
# The message itself, or the right to send it, is at fault: too large, or no permission for the exchange or its topic.
REJECTED = frozenset({311, 403, 406})
# The broker ends a connection for the sake of what came over it, and does so again when that comes again.
FOR_A_MESSAGE = frozenset({501, 502, 503, 504, 505, 540, 541})

_OF_AN_EXCHANGE = re.compile(r"(?:no|access to|internal) exchange '(.*?)' in vhost")


def judge(code: int, text: str) -> Rejected | Retry:
    """Return what it means for a message that its channel or connection was closed for its sake."""
    told = describe(code, text)
    return Rejected(told) if code in REJECTED else Retry(told)


def judge_return(code: int, text: str, exchange: str, routing_key: str) -> Retry:
    """Return what it means that a message came back: it is in no queue, though the broker confirms it."""
    where = f"no queue is bound to the exchange {exchange!r} for the routing key {routing_key!r}: bind one"
    return Retry(one_line(NAMES.get(code, str(code)), where if code == 312 else text))


def judge_nack(exchange: str) -> Unavailable:
    """Return what it means that the broker does not take a message: a queue is full, or has no majority."""
    return Unavailable(f"nack: a queue behind the exchange {exchange!r} is full or away", is_of_topic=True)


def exchange_named(text: str) -> str | None:
    """Return the exchange for which a channel was closed, None where it was closed for another reason."""
    found = _OF_AN_EXCHANGE.search(text)
    return found[1] if found else None


def describe(code: int, text: str) -> str:
    """Return code and text on one line; the broker's text begins with the code's name."""
    name = NAMES.get(code, str(code))
    return one_line(f"{code} {name}", text.removeprefix(name).removeprefix(" - "))


def describe_error(error: BaseException) -> str:
    """Return an error of the client on one line, with the first cause that it wraps."""
    inner = error
    while (wrapped := _wrapped(inner)) is not None:
        inner = wrapped
    return one_line(type(inner).__name__, ", ".join(str(part) for part in inner.args if part not in (None, "")))


def _wrapped(error: BaseException) -> BaseException | None:
    """Return what pika wraps into an error of a connection: one exception, or a list, of which the last counts."""
    for name in ("exception", "exceptions"):
        within = getattr(error, name, None)
        within = within[-1] if isinstance(within, (list, tuple)) and within else within
        if isinstance(within, BaseException):
            return within
    return error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
