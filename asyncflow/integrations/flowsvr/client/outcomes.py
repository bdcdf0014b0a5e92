"""Verdicts as the task service takes them, and what it says of them."""

from __future__ import annotations

from dataclasses import replace

import orjson

from asyncflow.integrations.flowsvr.client.answers import NO_RESULT, Outcome, Settled
from asyncflow.outbox.status import Status
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_source import Written
from asyncflow.scheduler.worker.verdict import Verdict, outcome_named


def outcome_of(claim: Claim, verdict: Verdict) -> Outcome:
    """Return a verdict as the service takes it, which applies the type's policy itself."""
    name, delay = outcome_named(verdict)
    result = NO_RESULT if claim.result is None else orjson.Fragment(claim.result.text)
    return Outcome(claim.task.id, claim.token, name, delay, f"{verdict.error}{verdict.frames}" or None, result)


def written_of(claim: Claim, verdict: Verdict, result: Settled | None) -> Written:
    """Return what the service says that it wrote."""
    if result is None or not result.settled:
        return Written(verdict, [claim], 0)
    status = Status.__members__.get(result.status or "", verdict.status)
    return Written(verdict if status is verdict.status else replace(verdict, status=status), [claim], 1)
