"""What a worker tells goes in notes that a broker takes, however much its handlers returned."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from asyncflow.scheduler.queue_worker.way_back import WayBack
from asyncflow.scheduler.queues.notes import read_note
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.leaving.results import Result


class Line:
    def __init__(self) -> None:
        self.told: list[bytes] = []

    def tell(self, notes: Sequence[bytes]) -> None:
        self.told += notes

    def close(self) -> None: ...


def outcome(number: int, characters: int) -> ClaimOutcome:
    result = Result('"' + "x" * characters + '"', True) if characters else None
    return ClaimOutcome(HeldClaim(UUID(int=number), UUID(int=0)), "success", None, "", result)


@pytest.mark.parametrize(
    ("characters", "parts"),
    [
        ([0] * 450, [200, 200, 50]),
        ([1000] * 450, [200, 200, 50]),
        ([100_000] * 5, [2, 2, 1]),
        ([900_000, 0, 900_000, 900_000], [1, 1, 1, 1]),
        ([], []),
    ],
    ids=["none", "small", "large", "one by one", "nothing"],
)
def test_outcomes_with_large_results_go_in_several_notes(characters: list[int], parts: list[int]) -> None:
    line = Line()
    outcomes = [outcome(number, size) for number, size in enumerate(characters)]
    WayBack(line, 30.0).settled(outcomes)
    notes = [read_note(body).outcomes for body in line.told]
    assert [len(note) for note in notes] == parts
    assert [one for note in notes for one in note] == outcomes
