"""A claim: one task that is held under a token."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from asyncflow.outbox import Task
from asyncflow.scheduler.heads.waits import DueMoments
from asyncflow.scheduler.worker.leaving.results import Result


@dataclass(slots=True, eq=False)
class Claim:
    """Hold one task under a token, from its claim to its settle.

    ``held_until``, on this process's monotonic clock, is when it has certainly not run out yet; renewals move it.
    """

    task: Task
    token: UUID
    stage: str | None
    context: str | None  # as JSON
    held_until: float
    is_suspect: bool = False  # one that died before it was heard of: its beginning is written down
    may_be_settled: bool = False  # a settle of it has failed, and perhaps its answer alone
    wants_result: bool = False  # to keep it, or for the task that follows
    leaves: bool = False  # a result, a task that follows or a message about it, when it is done
    is_told: bool = False  # by a message, whatever its outcome
    result: Result | None = None
    may_be_done: bool = False  # the handler's own transaction has marked it SUCCESS, and may have committed
    is_told_done: bool = False  # that it is done was told
    due_times: DueMoments | None = None  # of all that was claimed with it

    @property
    def queue_seconds(self) -> float | None:
        """Return how long it had been due when it was claimed; None if that is not known."""
        return None if self.due_times is None else self.due_times.of(self.task.raw_id)

    def last_until(self, held_until: float) -> None:
        """Be held until then, for it was renewed."""
        self.held_until = held_until

    def expect(self, *, result: bool, follow_up: bool, told: bool = False) -> None:
        """Know what the task leaves when it is done, besides what is known already, and whether that is ``told``."""
        self.wants_result |= result
        self.is_told |= told
        self.leaves |= self.wants_result or self.is_told or follow_up

    def keep(self, result: Result) -> None:
        """Take what the handler returned, to be written with the outcome."""
        self.result = result

    @property
    def attempt(self) -> int:
        """Return the number of this attempt, 1 for the first."""
        return self.task.retry_count + 1

    def tell_done(self) -> bool:
        """Let it be told that it is done; return whether it was not before: handler and settle may both know."""
        was_told, self.is_told_done = self.is_told_done, True
        return not was_told
