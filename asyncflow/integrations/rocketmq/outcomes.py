"""Judge what a proxy answers: which answers end a task, which spend an attempt, which spend none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Rejected, Retry, Unavailable
from asyncflow.scheduler.publishing.sessions.texts import one_line

OK = "OK"
# The message is at fault, or may never be written there.
REJECTED = frozenset(
    {
        "ILLEGAL_TOPIC",
        "ILLEGAL_MESSAGE_TAG",
        "ILLEGAL_MESSAGE_KEY",
        "ILLEGAL_MESSAGE_GROUP",
        "ILLEGAL_MESSAGE_PROPERTY_KEY",
        "ILLEGAL_MESSAGE_ID",
        "MESSAGE_CORRUPTED",
        "FORBIDDEN",
        "PAYLOAD_TOO_LARGE",
        "MESSAGE_BODY_TOO_LARGE",
        "MESSAGE_BODY_EMPTY",
        "REQUEST_HEADER_FIELDS_TOO_LARGE",
        "MESSAGE_PROPERTIES_TOO_LARGE",
    }
)
# Brokers that are down cannot be told from a topic that is not there, for the route to it is gone with them. A proxy of
# local mode tells of it as of one of another type.
NO_TOPIC = frozenset({"NOT_FOUND", "TOPIC_NOT_FOUND"})
OTHER_TYPE = "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE"
# Stored, and not on disk, or at no replica, as the broker is told to have it; or it has no time for us.
IN_DOUBT = frozenset(
    {
        "UNAUTHORIZED",
        "PAYMENT_REQUIRED",
        "REQUEST_TIMEOUT",
        "TOO_MANY_REQUESTS",
        "HA_NOT_AVAILABLE",
        "PROXY_TIMEOUT",
        "MASTER_PERSISTENCE_TIMEOUT",
        "SLAVE_PERSISTENCE_TIMEOUT",
    }
)


def judge(code: str, text: str, topic: str, *, fifo: bool) -> Outcome:
    """Return what a status means, by the name of its code."""
    if code == OK:
        return SENT
    if code in REJECTED:
        return Rejected(one_line(code, text))
    if code in NO_TOPIC:
        return Unavailable(
            one_line(code, f"the topic {topic!r} is not there, or no broker of its is"), is_of_topic=True
        )
    if code == OTHER_TYPE:
        return Unavailable(one_line(code, _made_otherwise(topic, fifo=fifo)), is_of_topic=True)
    if code in IN_DOUBT:
        return Unavailable(one_line(code, text))
    return Retry(one_line(code, text))


def judge_all(statuses: Iterable[tuple[str, str]], topic: str, *, fifo: bool) -> Outcome:
    """Return what an answer means: that of the request, and of the message in it; the first that is not OK counts."""
    code, text = next((one for one in statuses if one[0] != OK), (OK, ""))
    return judge(code, text, topic, fifo=fifo)


def unreached(error: Any) -> Unavailable:
    """Return what it means that a request had no answer: it may have been carried out all the same."""
    return Unavailable(describe(error))


def status_name(status: Any) -> str:
    """Return the name of a status' code."""
    field = status.DESCRIPTOR.fields_by_name["code"].enum_type
    value = field.values_by_number.get(status.code)
    return value.name if value is not None else str(status.code)


def describe(error: Any) -> str:
    """Return an error of gRPC on one line."""
    code, details = getattr(error, "code", None), getattr(error, "details", None)
    if callable(code) and callable(details):
        name = getattr(code(), "name", "no code")
        return one_line(name, details() or "")
    return one_line(type(error).__name__, str(error))


def _made_otherwise(topic: str, *, fifo: bool) -> str:
    kind, other = ("FIFO", False) if fifo else ("NORMAL", True)
    return (
        f"{topic!r} is not there, or no {kind} topic: mqadmin updateTopic -a +message.type={kind}, "
        f"or RocketMQSettings(fifo={other})"
    )
