"""A set of dead letters that was replayed together: found again by its mark in the audit, and watched."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from asyncflow.errors import OptionError
from asyncflow.integrations.dashboard.desk import Desk
from asyncflow.outbox import Status
from asyncflow.outbox.tables import REASON_LENGTH
from asyncflow.scheduler import Audit
from asyncflow.scheduler.connections.again import run_briefly
from asyncflow.scheduler.operator.task_view import TaskView

_MARK = re.compile(r"[0-9a-f]{8}")
_MOST_ENTRIES = 2000  # of the audit, the latest, in which a set is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedSet:
    """Tell how far a set is; ``gone`` were deleted since, as tasks that succeeded may be."""

    mark: str
    at: datetime
    actor: str
    size: int
    waiting: int
    at_work: int
    succeeded: int
    failed: int  # again
    cancelled: int
    gone: int
    first: UUID

    @property
    def is_over(self) -> bool:
        """Tell whether each of them has its outcome."""
        return not self.waiting and not self.at_work

    @property
    def holds(self) -> bool:
        """Tell whether it went well, so that the rest may follow."""
        return self.is_over and not self.failed


def reason_with_mark(reason: str | None, mark: str) -> str:
    """Return a reason by which the set is found again; what was given is cut if there is no room for both."""
    told = f"(set {mark})"
    return f"{reason[: REASON_LENGTH - len(told) - 1]} {told}" if reason else told


def look_at_set(desk: Desk, mark: str) -> ReplayedSet | None:
    """Return how far a set is; None if the audit's latest entries know of none. Raises OptionError."""
    if not _MARK.fullmatch(mark):
        raise OptionError("set is no mark of a replay; follow a link of the page before")
    latest = Audit(desk.engine, desk.outbox).entries(limit=_MOST_ENTRIES)
    entries = [one for one in latest if one.reason is not None and one.reason.endswith(f"(set {mark})")]
    if not entries:
        return None
    ids = [one.task_id for one in entries]

    def read(connection: Connection) -> Counter[Status]:
        return Counter(Status(row.status) for row in TaskView(desk.outbox).states(connection, ids).values())

    counts = run_briefly(desk.engine, read)
    return ReplayedSet(
        mark=mark,
        at=entries[-1].at,
        actor=entries[-1].actor,
        size=len(ids),
        waiting=counts[Status.PENDING],
        at_work=counts[Status.PROCESSING],
        succeeded=counts[Status.SUCCESS],
        failed=counts[Status.FAILED],
        cancelled=counts[Status.CANCELLED],
        gone=len(ids) - counts.total(),
        first=ids[-1],
    )
