"""Judge what a receiver answers, or that it does not: what ends a task, what spends an attempt, what spends none."""

from __future__ import annotations

from http import HTTPStatus
from types import ModuleType
from typing import NamedTuple

from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.texts import one_line

# The request came too slowly, or too early; whoever is asked again may take it.
RETRIED = frozenset({408, 425})
TOO_MANY = 429
# A gateway says it of what is behind it: that may be away, or this one message may have broken it.
DOUBTFUL = frozenset({502, 503, 504})


class Doubtful(NamedTuple):
    """Tell that there was no answer of the receiver itself: it is away, or this message is what it cannot take."""

    error: str
    is_of_host: bool = True  # else a gateway there answered, for this URL


class Away(NamedTuple):
    """Tell that the host could not be reached."""

    error: str


JudgedAnswer = Outcome | Doubtful | Away


def judge(status: int, host: str, after_seconds: float, retried: frozenset[int]) -> JudgedAnswer:
    """Return what a status means; ``after_seconds`` are those that the receiver asks for, 0 for none."""
    told = f"{host} answered {_named(status)}"
    if 200 <= status < 300:
        return SENT
    if 300 <= status < 400 and status not in retried:
        return Rejected(f"{told}: redirects are not followed; give the URL where it leads")
    if status == TOO_MANY or (status in DOUBTFUL and after_seconds):
        return Unavailable(told, is_of_topic=True, after_seconds=after_seconds)
    if status in DOUBTFUL:
        return Doubtful(told, is_of_host=False)
    if status in RETRIED or status in retried or status >= 500:
        return Retry(told, after_seconds)
    if status == HTTPStatus.GONE:
        return Rejected(f"{told}: it wants no more of these; take its address out, or give another one")
    return Rejected(told)


def judge_error(library: ModuleType, error: Exception, host: str) -> JudgedAnswer:
    """Return what an error of the client means; its text holds no URL."""
    told = one_line(host, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    if isinstance(error, (library.ConnectError, library.ConnectTimeout, library.PoolTimeout, library.ProxyError)):
        return Away(told)
    if isinstance(error, (library.LocalProtocolError, library.UnsupportedProtocol)):
        return Rejected(told)
    if isinstance(error, (library.TransportError, OSError)):  # an alert of TLS comes as Python has it
        return Doubtful(told)
    return Retry(told)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
