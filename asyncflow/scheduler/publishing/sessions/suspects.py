"""Find the record that a whole request was refused for.

A broker refuses a request of many records, or ends their channel, for the sake of one, and its client then reports that
for records that had no part in it. A record is only Rejected, and its task only fails for good, when it was refused
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple

from asyncflow.scheduler.publishing.publisher import SENT, Outcome, Record, Rejected, Retry


class Suspect(NamedTuple):
    """Tell that the broker refused a request for good, and this record may be why."""

    error: str


Judgement = Outcome | Suspect
SendBatch = Callable[[Sequence[Record]], Sequence[Judgement]]


def deliver(batch: Sequence[Record], send: SendBatch, deadline: float) -> list[Outcome]:
    """Send the batch, then its suspects in ever smaller parts, in order, until ``deadline`` (monotonic)."""
    judgements = send(batch)
    if judgements.count(SENT) == len(batch):
        return [SENT] * len(batch)
    suspects = {index: judgement for index, judgement in enumerate(judgements) if isinstance(judgement, Suspect)}
    outcomes = [_presumed(judgement) for judgement in judgements]
    if len(suspects) == 1:
        ((index, suspect),) = suspects.items()
        outcomes[index] = Rejected(suspect.error)
    elif suspects and monotonic() < deadline:
        for part in _halves(list(suspects)):
            again = deliver([batch[index] for index in part], send, deadline)
            for index, outcome in zip(part, again, strict=True):
                outcomes[index] = outcome
    return outcomes


def _presumed(judgement: Judgement) -> Outcome:
    return Retry(judgement.error) if isinstance(judgement, Suspect) else judgement


def _halves(indexes: list[int]) -> tuple[list[int], list[int]]:
    middle = len(indexes) // 2
    return indexes[:middle], indexes[middle:]
