"""Attempts that failed: what is told of them."""

from __future__ import annotations

from asyncflow.events import AttemptFailed, Hooks
from asyncflow.outbox.status import Status
from asyncflow.scheduler.worker.attempt import Attempt
from asyncflow.scheduler.worker.verdict import Verdict


def tell_of_failure(hooks: Hooks, attempt: Attempt, error: BaseException | None, verdict: Verdict) -> None:
    """Tell what a handler raised, if that was a failed attempt, before its outcome is written."""
    is_retried = verdict.status is Status.PENDING and verdict.is_spent
    if error is None or not (is_retried or verdict.status is Status.FAILED):
        return
    task = attempt.claim.task
    hooks.emit(
        AttemptFailed(
            task.id,
            task.task_type,
            task.key,
            attempt.claim.attempt,
            attempt.task_type.most_retries(task.max_retries) + 1,
            verdict.delay_seconds if is_retried else None,
            error,
        )
    )
