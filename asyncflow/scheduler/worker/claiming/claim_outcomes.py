"""What a worker elsewhere says of its claims, and what comes of that: judged by the rows as they stand."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, NamedTuple

from asyncflow.outbox.declarations.task_type import TaskType
from asyncflow.outbox.outcome.follow_up import has_follow_up
from asyncflow.outbox.outcome.telling import is_told
from asyncflow.outbox.status import Status
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.leaving.results import Result
from asyncflow.scheduler.worker.verdict import Spent, Verdict, judged

TypeOf = Callable[[str], TaskType]
HeldRows = Mapping[bytes, Any]  # that are held, by the bytes of their ids


class ClaimOutcome(NamedTuple):
    """Tell what became of a claimed task: a name of OUTCOMES, and what the worker says of it."""

    held: HeldClaim
    name: str
    delay_seconds: float | None = None  # for a retry: replaces the policy's interval
    error: str = ""
    result: Result | None = None


class SettledClaim(NamedTuple):
    """Tell of one outcome what was written; without a verdict nothing was, for the claim was lost or is locked."""

    held: HeldClaim
    verdict: Verdict | None
    task_type: str = ""
    attempt: int = 0
    is_locked: bool = False  # by somebody else: to be told again

    @property
    def is_success(self) -> bool:
        """Tell whether the task is done."""
        return self.verdict is not None and self.verdict.status is Status.SUCCESS


def settled_claims(
    outcomes: Iterable[ClaimOutcome],
    rows: HeldRows,
    locked: Container[HeldClaim],
    type_of: TypeOf,
    may_use: Callable[[str], bool],
) -> list[SettledClaim]:
    """Judge the outcomes, in order; what is locked, lost, or of a type that one may not use gets no verdict."""
    return [
        SettledClaim(outcome.held, None, is_locked=True)
        if outcome.held in locked
        else _judge(outcome, rows.get(outcome.held.id.bytes), type_of, may_use)
        for outcome in outcomes
    ]


def leaves(one: SettledClaim, row: Any, result: Result | None) -> bool:
    """Tell whether a task leaves a message about its outcome, or is done and leaves a result or a task behind it."""
    if one.verdict is None or one.verdict.status is Status.PENDING:
        return False
    return is_told(row.headers) or (one.is_success and (result is not None or has_follow_up(row.headers)))


def _judge(outcome: ClaimOutcome, row: Any, type_of: TypeOf, may_use: Callable[[str], bool]) -> SettledClaim:
    if row is None or not may_use(row.task_type):
        return SettledClaim(outcome.held, None)
    kind = type_of(row.task_type)
    spent = Spent(row.retry_count, kind.most_retries(row.max_retries))
    verdict = judged(outcome.name, outcome.delay_seconds, outcome.error, kind, spent)
    return SettledClaim(outcome.held, verdict, row.task_type, row.retry_count)
