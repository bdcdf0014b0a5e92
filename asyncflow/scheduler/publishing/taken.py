"""A look at what destinations take, before a message is fetched that one of them would refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from asyncflow.errors import OptionError
from asyncflow.outbox import MessageType, Outbox
from asyncflow.outbox.message import RECORD_OVERHEAD_BYTES
from asyncflow.scheduler.publishing.publisher import Publisher


class Taken(NamedTuple):
    """Hold what a publisher tells of its destination."""

    topic_fault: Callable[[str], str | None] | None  # tells why a topic is not taken; None: all are
    max_record_bytes: int | None  # None: no limit is told
    keeps_key_order: bool


def require_taken(outbox: Outbox, publishers: Mapping[str, Publisher]) -> None:
    """Raise OptionError if a declared type would send what the publisher of its destination does not take."""
    for task_type in outbox.task_types.values():
        if task_type.captured and task_type.destination not in publishers:
            continue
        taken = taken_by(task_type.destination, publishers[task_type.destination])
        _require_topic(task_type, taken)
        _require_order(task_type, taken)
        _require_size(task_type.destination, taken, outbox.max_message_bytes)


def taken_by(destination: str, publisher: Publisher) -> Taken:
    """Return what the publisher of a destination takes, by the attributes that it has; raises OptionError."""
    fault: Any = getattr(publisher, "topic_fault", None)
    if fault is not None and not callable(fault):
        raise _bad("topic_fault", destination, fault, "a method (topic) -> text, or None for a topic that is taken")
    size = _whole_or_none("max_record_bytes", destination, publisher, "bytes")
    _whole_or_none("records_at_once", destination, publisher, "records")
    keeps = getattr(publisher, "keeps_key_order", True)
    if not isinstance(keeps, bool):
        raise _bad("keeps_key_order", destination, keeps, "True or False")
    return Taken(fault, size, keeps)


def _whole_or_none(name: str, destination: str, publisher: Publisher, what: str) -> int | None:
    value = getattr(publisher, name, None)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise _bad(name, destination, value, f"a whole number of {what}, or None")
    return value


def _bad(name: str, destination: str, value: object, wanted: str) -> OptionError:
    return OptionError(f"{name} of the publisher of {destination!r} is {value!r}; give {wanted}")


def _require_topic(task_type: MessageType, taken: Taken) -> None:
    fault = None if taken.topic_fault is None else taken.topic_fault(task_type.topic)
    if fault is not None:
        raise OptionError(
            f"topic of {task_type.name!r} is {task_type.topic!r}, and the publisher of {task_type.destination!r} takes "
            f"none such: {fault}; give another one: outbox.message({task_type.name!r}, topic=...)"
        )


def _require_order(task_type: MessageType, taken: Taken) -> None:
    if task_type.ordered and not taken.keeps_key_order:
        raise OptionError(
            f"ordered of {task_type.name!r} is True, and the publisher of {task_type.destination!r} does not keep the "
            f"order of a key; leave it out, or choose a destination that does"
        )


def _require_size(destination: str, taken: Taken, max_message_bytes: int) -> None:
    takes = taken.max_record_bytes
    if takes is not None and max_message_bytes + RECORD_OVERHEAD_BYTES > takes:
        fitting = max(1, takes - RECORD_OVERHEAD_BYTES)
        raise OptionError(
            f"max_message_bytes is {max_message_bytes}, and the publisher of {destination!r} takes records of at most "
            f"{takes} bytes, {RECORD_OVERHEAD_BYTES} of them for what the record adds: larger messages would end as "
            f"dead letters. Give Outbox(max_message_bytes={fitting}) in every process, or raise the limits of the "
            f"publisher and its broker"
        )
