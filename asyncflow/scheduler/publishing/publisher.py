"""The seam to a broker: records in, one outcome for each of them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Record(NamedTuple):
    """Hold one message as the broker shall store it.

    ``headers`` are (name, value) pairs in order; ``key`` decides the partition and is None for none.
    """

    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class Sent(NamedTuple):
    """Tell that the destination has the record and acknowledged it."""


class Retry(NamedTuple):
    """Tell that this attempt failed and another may succeed; an attempt is spent.

    The next one comes when the task type's policy has it, and no sooner than ``after_seconds``, a day at most.
    """

    error: str
    after_seconds: float = 0.0


class Unavailable(NamedTuple):
    """Tell that the destination could not be reached at all, or only its topic could not; no attempt is spent.

    It is left alone for a pause that grows, and for no less than ``after_seconds``, where it asks for so much.
    """

    error: str
    is_of_topic: bool = False
    after_seconds: float = 0.0


class Rejected(NamedTuple):
    """Tell that the broker will never take this record; the task fails for good."""

    error: str


Outcome = Sent | Retry | Unavailable | Rejected

SENT = Sent()


class Publisher(Protocol):
    """Publish records to one destination; its lifetime is that of the scheduler that was given it.

    One thread calls ``publish`` at a time. ``close`` may be called twice and ends every thread and socket.

    What the destination takes a publisher tells by attributes that it need not have; a scheduler whose declared types
    go beyond them does not start:

    ``topic_fault(topic)`` returns why a topic is not taken, or None for one that is. Default: all are.
    ``max_record_bytes``: the largest record, with key, value, headers and what the format adds. Default: no limit.
    ``system``: what kind of broker it is, as traces and metrics name it. Default: the destination's name.
    ``keeps_key_order``: records of one key arrive in the order in which they were sent. Default: True.
    ``records_at_once``: how many a batch should have, asked before each round. Default: as many as a round may have.
    ``event_prefix``: how names of attributes of CloudEvents begin among headers. Default: ``ce_``.
    """

    def publish(self, batch: Sequence[Record], /) -> Sequence[Outcome]:
        """Send the records and return one outcome for each, in order.

        Returns only when each record's outcome is known. Never raises for what a broker does.
        """
        ...

    def close(self) -> None:
        """Release the client; records not yet acknowledged may be dropped, for their tasks are still pending."""
        ...
