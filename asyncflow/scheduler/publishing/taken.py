"""A look at what publishers take, before a message is fetched that one of them would refuse."""

from __future__ import annotations

from collections.abc import Mapping

from asyncflow.errors import OptionError
from asyncflow.outbox import Outbox
from asyncflow.outbox.message import RECORD_OVERHEAD_BYTES
from asyncflow.scheduler.publishing.publisher import Publisher


def require_sizes(outbox: Outbox, publishers: Mapping[str, Publisher]) -> None:
    """Raise OptionError if the outbox takes messages that the publisher of a declared type would not."""
    for destination in sorted({task_type.destination for task_type in outbox.task_types.values()}):
        takes = max_record_bytes(destination, publishers.get(destination))
        if takes is not None and outbox.max_message_bytes + RECORD_OVERHEAD_BYTES > takes:
            fitting = max(1, takes - RECORD_OVERHEAD_BYTES)
            raise OptionError(
                f"max_message_bytes is {outbox.max_message_bytes}, and the publisher of {destination!r} takes records "
                f"of at most {takes} bytes, {RECORD_OVERHEAD_BYTES} of them for what the record adds: larger messages "
                f"would end as dead letters. Give Outbox(max_message_bytes={fitting}) in every process, or raise the "
                f"limits of the publisher and its broker"
            )


def max_record_bytes(destination: str, publisher: Publisher | None) -> int | None:
    """Return the largest record that a publisher takes, None if it tells none; raises OptionError."""
    takes = getattr(publisher, "max_record_bytes", None)
    if takes is not None and (isinstance(takes, bool) or not isinstance(takes, int) or takes < 1):
        raise OptionError(
            f"max_record_bytes of the publisher of {destination!r} is {takes!r}; give a whole number of bytes, or None"
        )
    return takes
