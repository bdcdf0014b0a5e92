"""The events of what workers elsewhere have settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from asyncflow.events import Hooks
from asyncflow.outbox.status import Status
from asyncflow.scheduler.loops.settled_events import SettledEvents
from asyncflow.scheduler.worker.claiming.claim_outcomes import SettledClaim


def tell_outcomes(hooks: Hooks, destination: str, settled: Sequence[SettledClaim]) -> None:
    """Emit what became of tasks that were written and committed; ``destination`` is under which the events tell it."""
    events = SettledEvents(hooks, destination)
    judged = [(one, one.verdict) for one in settled if one.verdict is not None]
    endings = (verdict.ending_of(one.held.id, one.task_type, one.attempt) for one, verdict in judged)
    events.of_each(filter(None, endings))
    events.of_fenced(sum(one.verdict is None and not one.is_locked for one in settled))
    if judged:
        done = Counter(one.task_type for one, verdict in judged if verdict.status is Status.SUCCESS)
        events.of_all(Counter(verdict.status for _, verdict in judged), done)
