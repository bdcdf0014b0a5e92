"""The events of what workers have settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from asyncflow.events import Hooks, SettleFenced, TaskFailed, TaskRetried, TasksSettled
from asyncflow.outbox.status import Status
from asyncflow.scheduler.worker.service_claims import SettledClaim

DESTINATION = "flowsvr"  # under which the events tell of it


def tell(hooks: Hooks, settled: Sequence[SettledClaim]) -> None:
    """Emit what became of tasks that were written and committed."""
    counts: Counter[Status] = Counter()
    for one in settled:
        if one.verdict is None:
            continue
        status, error = one.verdict.status, one.verdict.error
        counts[status] += 1
        if status is Status.FAILED:
            hooks.emit(TaskFailed(one.held.id, one.task_type, one.attempt, error))
        elif status is Status.PENDING and one.verdict.is_spent:
            hooks.emit(TaskRetried(one.held.id, one.task_type, one.attempt, one.verdict.delay_seconds, error))
    fenced = len(settled) - counts.total()
    if fenced:
        hooks.emit(SettleFenced(DESTINATION, fenced))
    if counts:
        done, retried, failed = (counts[status] for status in (Status.SUCCESS, Status.PENDING, Status.FAILED))
        hooks.emit(TasksSettled(DESTINATION, done, retried, failed, 0.0))
