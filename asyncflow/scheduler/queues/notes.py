"""Notes: what workers tell of their claims, on the way back. One note tells of several claims; each is JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from asyncflow.outbox.clock import MAX_DELAY_SECONDS
from asyncflow.outbox.tables import STAGE_LENGTH
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.leaving.results import Result
from asyncflow.scheduler.worker.verdict import OUTCOMES

VERSION = 1
LONGEST_LEASE_SECONDS = 86400.0


class Reached(NamedTuple):
    """Tell how far the work under a claim has come: a stage, and its context as JSON."""

    held: HeldClaim
    stage: str
    context: str | None


class ClaimNote(NamedTuple):
    """Hold what a note tells: claims that are at work and last on, stages that were reached, and outcomes."""

    renewed: Sequence[HeldClaim] = ()
    lease_seconds: float = 0.0  # for which what is renewed lasts
    reached: Sequence[Reached] = ()
    outcomes: Sequence[ClaimOutcome] = ()


def note_of(note: ClaimNote) -> bytes:
    """Write down a note."""
    told = {
        "v": VERSION,
        "renewed": [_names(held) for held in note.renewed],
        "lease_seconds": note.lease_seconds,
        "reached": [[*_names(one.held), one.stage, one.context] for one in note.reached],
        "outcomes": [_outcome_json(outcome) for outcome in note.outcomes],
    }
    return orjson.dumps(told)


def read_note(body: bytes) -> ClaimNote:
    """Read a note; raises ValueError for what is none that we can read."""
    told: Any = orjson.loads(body)
    if not isinstance(told, dict) or told.get("v") != VERSION:
        raise ValueError(f"it is no note of version {VERSION}, which is the one that this scheduler reads")
    try:
        return ClaimNote(
            [_held(*one) for one in told["renewed"]],
            _within("lease_seconds", told["lease_seconds"], LONGEST_LEASE_SECONDS),
            [_reached(*one) for one in told["reached"]],
            [_outcome(one) for one in told["outcomes"]],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a field of the note is missing or of another form: {error!r}") from error


def held_by(claims: Iterable[Any]) -> list[HeldClaim]:
    """Return the names of claims."""
    return [HeldClaim(claim.task.id, claim.token) for claim in claims]


def _names(held: HeldClaim) -> list[str]:
    return [str(held.id), str(held.token)]


def _held(task_id: str, token: str) -> HeldClaim:
    return HeldClaim(UUID(task_id), UUID(token))


def _reached(task_id: str, token: str, stage: Any, context: Any) -> Reached:
    if not isinstance(stage, str) or not 0 < len(stage) <= STAGE_LENGTH:
        raise ValueError(f"the stage {stage!r:.40} is no text of 1 to {STAGE_LENGTH} characters")
    if context is not None and not isinstance(context, str):
        raise TypeError(f"the context {context!r:.40} is no text")
    return Reached(_held(task_id, token), stage, context)


def _outcome_json(outcome: ClaimOutcome) -> list[Any]:
    result = None if outcome.result is None else [outcome.result.text, outcome.result.is_kept]
    return [*_names(outcome.held), outcome.name, outcome.delay_seconds, outcome.error, result]


def _outcome(told: Any) -> ClaimOutcome:
    task_id, token, name, delay, error, result = told
    if name not in OUTCOMES:
        raise ValueError(f"the outcome {name!r:.40} is none of {', '.join(OUTCOMES)}")
    if not isinstance(error, str):
        raise TypeError(f"the error {error!r:.40} is no text")
    delay = None if delay is None else _within("delay_seconds", delay, MAX_DELAY_SECONDS)
    return ClaimOutcome(_held(task_id, token), name, delay, error, None if result is None else _result(*result))


def _result(text: Any, is_kept: Any) -> Result:
    orjson.loads(text)  # what is kept is JSON, whoever wrote it
    return Result(text, bool(is_kept))


def _within(name: str, value: Any, most: float) -> float:
    number = float(value)
    if not math.isfinite(number) or not 0 <= number <= most:
        raise ValueError(f"{name} is {number!r}; 0 to {most:g} seconds are taken")
    return number
