"""What the suite expects, told in sentences; plain asserts would need pytest's help to say anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from time import monotonic

from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Publisher, Record, Rejected, Retry, Unavailable

RECOVERS_WITHIN_SECONDS = 60.0
# Beyond its timeout, on a busy machine: to take back what was not sent, and to end a connection.
SLACK_SECONDS = 45.0
_KINDS = (type(SENT), Retry, Unavailable, Rejected)


def expect(holds: bool, what: str) -> None:
    """Raise AssertionError unless it holds."""
    if not holds:
        raise AssertionError(what)


def published(publisher: Publisher, batch: Sequence[Record]) -> list[Outcome]:
    """Publish, and expect one outcome for each record, with an error of one line where it was not sent."""
    outcomes = list(publisher.publish(batch))
    expect(len(outcomes) == len(batch), f"{len(outcomes)} outcomes came for {len(batch)} records")
    for outcome in outcomes:
        expect(isinstance(outcome, _KINDS), f"{outcome!r} is no outcome")
        error = getattr(outcome, "error", "-")
        expect(bool(error) and "\n" not in error, f"{outcome!r} has no error of one line")
    return outcomes


def expect_kinds(outcomes: Sequence[Outcome], *kinds: type | tuple[type, ...]) -> None:
    """Expect the outcomes to be of these kinds, one by one."""
    fits = [isinstance(outcome, kind) for outcome, kind in zip(outcomes, kinds, strict=True)]
    expect(all(fits), f"outcomes are {outcomes}; the kinds {kinds} were expected")


def expect_unavailable(publisher: Publisher, batch: Sequence[Record], timeout_seconds: float) -> None:
    """Expect all to be Unavailable, in about the time that the publisher allows itself."""
    began = monotonic()
    outcomes = published(publisher, batch)
    took = monotonic() - began
    expect(took < timeout_seconds + SLACK_SECONDS, f"publish took {took:.1f} s; its limit is {timeout_seconds} s")
    strays = [outcome for outcome in outcomes if not isinstance(outcome, Unavailable)]
    expect(not strays, f"nobody answered, and outcomes were {strays[:3]}")


def send(publisher: Publisher, batch: Sequence[Record]) -> None:
    """Publish what is not sent yet, again and again until all is; nothing of it may be refused for good."""
    _send(publisher, batch, may_be_rejected=False)


def send_in_the_end(publisher: Publisher, batch: Sequence[Record]) -> None:
    """Publish what is not sent yet until all is; a broker's caches may refuse for a moment what it takes again."""
    _send(publisher, batch, may_be_rejected=True)


def _send(publisher: Publisher, batch: Sequence[Record], *, may_be_rejected: bool) -> None:
    deadline = monotonic() + RECOVERS_WITHIN_SECONDS
    left = list(batch)
    while left:
        outcomes = published(publisher, left)
        is_rejected = any(isinstance(outcome, Rejected) for outcome in outcomes)
        expect(may_be_rejected or not is_rejected, f"rejected: {outcomes[:3]}")
        left = [record for record, outcome in zip(left, outcomes, strict=True) if outcome != SENT]
        expect(not left or monotonic() < deadline, f"still not sent: {outcomes[:3]}")


def reject_in_the_end(publisher: Publisher, batch: Sequence[Record]) -> None:
    """Publish until all are rejected: what a broker has just forbidden it may take for a moment."""
    deadline = monotonic() + RECOVERS_WITHIN_SECONDS
    outcomes = published(publisher, batch)
    while not all(isinstance(outcome, Rejected) for outcome in outcomes):
        expect(monotonic() < deadline, f"still not rejected: {outcomes[:3]}")
        outcomes = published(publisher, batch)


def expect_stored(stored: Sequence[Record], records: Sequence[Record]) -> None:
    """Expect each of the records to be there, with its key, value and headers; some may be there twice."""
    there = Counter(map(_content, stored))
    lacking = [record for record in records if not there[_content(record)]]
    expect(
        not lacking,
        f"{len(lacking)} of {len(records)} records are not as they were, or lost: {lacking[:2]}; there: {stored[:2]}",
    )


def _content(record: Record) -> tuple[bytes | None, bytes, tuple[tuple[str, bytes], ...]]:
    return record.key, record.value, tuple(sorted(record.headers))
