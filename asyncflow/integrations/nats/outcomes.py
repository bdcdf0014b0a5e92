"""Judge what NATS answers: which answers end a task, which spend an attempt, which spend none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.texts import one_line

# JetStream's own codes. The message is at fault, as it is too large, or its headers are; or the stream takes no such
# message, now and later: it is sealed, or counts.
REJECTED = frozenset({10054, 10097, 10109, 10169})
# The stream takes nothing for now: full or unable to store, without resources, leader or place, overrun; or it is just
# storing this very message.
UNAVAILABLE = frozenset({10002, 10008, 10009, 10023, 10028, 10047, 10077, 10118, 10158, 10167, 10194})
EXISTS = 10058  # a stream of this name, with another configuration
# What the server says of a line that it ends the connection for.
FOR_A_MESSAGE = ("maximum payload", "maximum control line", "unknown protocol operation", "parser error")

_FORBIDDEN = re.compile(r'permissions violation for publish to "(.*)"')


def judge(answer: bytes) -> Outcome:
    """Return what the acknowledgement of a message means; that of a duplicate is one like any other."""
    told = read(answer)
    error = told.get("error")
    if isinstance(error, Mapping):
        return judge_error(error)
    if isinstance(told.get("stream"), str) and isinstance(told.get("seq"), int):
        return SENT
    return Retry(one_line("who answered is no stream", answer[:100].decode(errors="replace")))


def judge_error(error: Mapping[str, Any]) -> Rejected | Retry | Unavailable:
    """Return what an error of JetStream means; a code that is in neither table is worth another attempt, or a wait."""
    told, code = describe_error(error), error.get("err_code")
    if code in REJECTED:
        return Rejected(told)
    if code in UNAVAILABLE or error.get("code") in (429, 503):
        return Unavailable(told, is_of_topic=True)
    return Retry(told)


def judge_lack(subject: str, answer: Mapping[str, Any] | None, *, is_unheard: bool) -> Rejected | Retry | Unavailable:
    """Return what it means that a message was not acknowledged, by JetStream's answer which streams take its subject.

    ``is_unheard``: the server said that nobody listens. Otherwise nobody has answered, and it may be that somebody
    listens who is no stream. ``answer`` is None if there was none.
    """
    if answer is None and not is_unheard:
        return Unavailable("no acknowledgement in time")
    if answer is None:
        return Unavailable("JetStream's API does not answer: it has no leader, or is not reached")
    if isinstance(answer.get("error"), Mapping):
        return Unavailable(one_line("JetStream does not serve", describe_error(answer["error"])))
    streams = answer.get("streams") or []
    if streams and is_unheard:
        return Unavailable(f"the stream {streams[0]} has no leader for now", is_of_topic=True)
    if streams:
        return Unavailable(f"the stream {streams[0]} acknowledged nothing in time; its no_ack has to be off")
    remedy = f"make a stream with {subject!r} among its subjects, or give NatsSettings(stream=...)"
    if is_unheard:
        return Rejected(one_line("no responders", f"no stream takes the subject {subject!r}; {remedy}"))
    return Retry(one_line("no acknowledgement", f"those who listen are no stream; {remedy}"))


def judge_unknown_lack(subject: str) -> Retry:
    """Return what it means that nobody listens, where this user may not ask which streams there are."""
    why = f"no stream takes the subject {subject!r}, or it has no leader; this user may not ask JetStream's API which"
    return Retry(one_line("no responders", why))


def subject_forbidden(text: str) -> str | None:
    """Return the subject, in small letters, that this user may not publish to; None for an error of another kind."""
    found = _FORBIDDEN.search(text)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else None  # as Go quotes it


def is_for_a_message(text: str) -> bool:
    """Tell whether the server ends the connection for something that came over it, and would do so again."""
    return any(sign in text for sign in FOR_A_MESSAGE)


def read(answer: bytes) -> dict[str, Any]:
    """Return an answer of JetStream; empty for what is none."""
    try:
        told = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def describe_error(error: Mapping[str, Any]) -> str:
    """Return code and description on one line."""
    return one_line(str(error.get("err_code") or error.get("code")), str(error.get("description", "")))


def describe(error: BaseException) -> str:
    """Return an error of the client on one line."""
    return one_line(type(error).__name__, str(error).removeprefix("nats: "))
