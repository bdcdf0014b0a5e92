"""The names of attributes, and what their values are of a delivery and of an attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from asyncflow.scheduler.publishing.delivering import Delivering
from asyncflow.scheduler.publishing.publisher import Outcome, Sent

SYSTEM, DESTINATION = "messaging.system", "messaging.destination.name"
OPERATION, OPERATION_TYPE = "messaging.operation.name", "messaging.operation.type"
MESSAGE_ID, BATCH = "messaging.message.id", "messaging.batch.message_count"
PARTITION, OFFSET = "messaging.destination.partition.id", "messaging.kafka.offset"
GROUP = "messaging.consumer.group.name"
ERROR_TYPE = "error.type"
OWN_SYSTEM = "asyncflow"  # of the table, where a task is created, and from where a handler gets it


class Origin(NamedTuple):
    """Name where a message that is worked on came from."""

    system: str
    destination: str
    partition: str | None = None
    offset: int | None = None


def named(operation: str, origin: Origin) -> dict[str, Any]:
    """Return the attributes that each span and measurement of an operation has."""
    named = {OPERATION: operation, OPERATION_TYPE: operation, SYSTEM: origin.system, DESTINATION: origin.destination}
    return named if origin.partition is None else {**named, PARTITION: origin.partition}


def origin_of(task_type: str, headers: Mapping[str, str]) -> Origin:
    """Return where the message of an attempt came from: the topic of one that was consumed, else its task type."""
    rest, _, offset = headers.get("from-place", "").rpartition("/")
    topic, _, partition = rest.rpartition("/")
    if not topic or not offset.isdecimal() or not partition.isdecimal():
        return Origin(OWN_SYSTEM, task_type)
    return Origin("kafka", topic, partition, int(offset))


def sending(delivering: Delivering) -> dict[str, Any]:
    """Return the attributes of a batch; its topic, if it is for one alone."""
    topics = delivering.topics
    common = {OPERATION: "send", OPERATION_TYPE: "send", SYSTEM: delivering.system}
    return {**common, DESTINATION: topics[0]} if len(topics) == 1 else common


def error_type_of(error: BaseException) -> str:
    """Return the name of a class, with its module where that is not Python's own."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def failure_type_of(outcome: Outcome) -> str:
    """Return the kind of an outcome that is no success; empty for one that is."""
    return "" if isinstance(outcome, Sent) else type(outcome).__name__.lower()


def first_failure(outcomes: Iterable[Outcome]) -> tuple[str, str] | None:
    """Return the kind and the text of the first outcome that is no success."""
    for outcome in outcomes:
        if not isinstance(outcome, Sent):
            return failure_type_of(outcome), outcome.error
    return None
