"""Bounds that the settings set, checked at the door."""

from __future__ import annotations

from collections.abc import Collection, Sized
from uuid import UUID

from asyncflow.integrations.flowsvr.door.problems import RETRY, Problem
from asyncflow.integrations.flowsvr.settings import ServiceSettings
from asyncflow.outbox.tables import OWNER_LENGTH
from asyncflow.scheduler.table.claim_owner import HEARD, MARKS
from asyncflow.scheduler.worker.claiming.claim_outcomes import SettledClaim
from asyncflow.text import require_text


def require_few(name: str, items: Sized, most: int) -> None:
    """Raise Problem 422 if there are more items than one request may carry."""
    if len(items) > most:
        raise Problem(422, f"{name} has {len(items)} items; send at most {most} at once", field=name)


def require_once(name: str, ids: Collection[UUID]) -> None:
    """Raise Problem 422 if a task is named twice."""
    if len(set(ids)) != len(ids):
        raise Problem(422, f"{name} names a task twice; name each once", field=name)


def require_unlocked(settled: SettledClaim) -> None:
    """Raise Problem 503 if somebody else held the lock of the task's row."""
    if settled.is_locked:
        detail = f"somebody holds the lock of the row of task {settled.held.id}; nothing was written, set it again"
        raise Problem(503, detail, RETRY)


def worker_name(name: str) -> str:
    """Return the worker's name; raises Problem 422 for what a row cannot hold."""
    try:
        name = require_text("worker", name, OWNER_LENGTH - len(HEARD), ValueError)
    except ValueError as error:
        raise Problem(422, str(error), field="worker") from None
    if name.startswith(MARKS):
        raise Problem(
            422, f"worker begins with {name[0]!r}, which marks claims in the table; leave it out", field="worker"
        )
    return name


def lease_of(seconds: float | None, settings: ServiceSettings) -> float:
    """Return how long a claim is to last; raises Problem 422."""
    if seconds is None:
        return settings.claim_lease_seconds
    if seconds > settings.max_lease_seconds:
        most = settings.max_lease_seconds
        raise Problem(
            422, f"lease_seconds is {seconds:g}; give at most {most:g}, and renew the claims", field="lease_seconds"
        )
    return seconds
