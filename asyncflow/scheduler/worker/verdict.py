"""What becomes of a task after an attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

from asyncflow.errors import KeyGoneError, PayloadAlteredError
from asyncflow.outbox.declarations.retry import is_spent
from asyncflow.outbox.declarations.signals import CancelTask, NotDone, RejectTask, RetryTask
from asyncflow.outbox.declarations.task_type import TaskType
from asyncflow.outbox.status import Status
from asyncflow.scheduler.loops.settled_events import Ending
from asyncflow.scheduler.table.log_lines import innermost_frames, short_error
from asyncflow.text import told


@dataclass(frozen=True, slots=True)
class Verdict:
    """Name the status that a task gets; PENDING with a delay, and whether the attempt counts.

    ``by_policy``: it is what the type's policy makes of an error, not what the handler asked for.
    """

    status: Status
    delay_seconds: float = 0.0
    error: str = ""
    is_spent: bool = True
    by_policy: bool = False
    frames: str = ""  # of the error's traceback, for the row's log

    @property
    def ends(self) -> bool:
        """Tell whether it is a last status, but not that the task is done."""
        return self.status in (Status.FAILED, Status.CANCELLED)

    @property
    def is_told(self) -> bool:
        """Tell whether each task that got it is told of: it failed, or an attempt of it counts."""
        return self.status is Status.FAILED or (self.status is Status.PENDING and self.is_spent)

    def ending_of(
        self, task_id: UUID, task_type: str, attempt: int, queue_seconds: float | None = None
    ) -> Ending | None:
        """Return what is to be told of a task that got it; None where it is done, or the attempt does not count."""
        if self.status is Status.FAILED:
            return Ending(task_id, task_type, attempt, self.error, None, queue_seconds)
        if self.status is Status.PENDING and self.is_spent:
            return Ending(task_id, task_type, attempt, self.error, self.delay_seconds, queue_seconds)
        return None


SUCCEEDED = Verdict(Status.SUCCESS)
SWITCHED_OFF = Verdict(Status.PENDING, 0.0, "given back: its task type is switched off", is_spent=False)
GIVEN_BACK = Verdict(Status.PENDING, 0.0, "given back: the worker stops", is_spent=False)
UNANSWERED = Verdict(Status.PENDING, 0.0, "given back: the answer to its claim was lost", is_spent=False)
NOT_TAKEN = Verdict(Status.PENDING, 0.0, "given back: the worker could not take it into its hands", is_spent=False)

OutcomeName = Literal["success", "retry", "not_done", "failed", "cancelled", "given_back"]
OUTCOMES: dict[str, tuple[Status, bool]] = {
    "success": (Status.SUCCESS, True),
    "retry": (Status.PENDING, True),
    "not_done": (Status.PENDING, False),
    "given_back": (Status.PENDING, False),
    "failed": (Status.FAILED, True),
    "cancelled": (Status.CANCELLED, True),
}  # by name: what becomes of the task, and whether the attempt counts

_LAST: dict[Status, OutcomeName] = {Status.SUCCESS: "success", Status.FAILED: "failed", Status.CANCELLED: "cancelled"}


class Spent(NamedTuple):
    """Tell which attempt this is, 1 for the first, and how many may follow the first."""

    attempt: int
    max_retries: int


def verdict_of(error: BaseException | None, task_type: TaskType, attempt: int, max_retries: int) -> Verdict:
    """Judge attempt number ``attempt`` (1 for the first) by what the handler raised; None if it returned."""
    if error is None:
        return SUCCEEDED
    try:
        return _of_error(error, task_type, attempt, max_retries)
    except Exception as fault:  # noqa: BLE001 - a signal of the application's own class may lack what ours have
        return _of_error(fault, task_type, attempt, max_retries)


def _of_error(error: BaseException, task_type: TaskType, attempt: int, max_retries: int) -> Verdict:
    if isinstance(error, NotDone):
        return Verdict(Status.PENDING, error.delay_seconds, short_error(error.reason), is_spent=False)
    if isinstance(error, CancelTask):
        return Verdict(Status.CANCELLED, error=_told(error))
    frames = innermost_frames(error)
    if isinstance(error, (RejectTask, KeyGoneError, PayloadAlteredError)):
        return Verdict(Status.FAILED, error=_told(error), frames=frames)
    if is_spent(attempt, task_type.most_retries(max_retries)):
        return Verdict(Status.FAILED, error=_told(error), by_policy=True, frames=frames)
    own_delay = error.delay_seconds if isinstance(error, RetryTask) else None
    if own_delay is not None:
        return Verdict(Status.PENDING, own_delay, _told(error), frames=frames)
    return Verdict(Status.PENDING, task_type.retry_delay(attempt), _told(error), by_policy=True, frames=frames)


def judged(outcome: str, delay_seconds: float | None, error: str, kind: TaskType, spent: Spent) -> Verdict:
    """Judge by the outcome that a worker elsewhere names; a delay replaces the policy's. Raises KeyError for others."""
    if outcome == "retry" and is_spent(spent.attempt, spent.max_retries):
        return Verdict(Status.FAILED, error=short_error(error), by_policy=True)
    if outcome == "retry" and delay_seconds is None:
        return Verdict(Status.PENDING, kind.retry_delay(spent.attempt), short_error(error), by_policy=True)
    status, counts = OUTCOMES[outcome]
    return Verdict(status, (delay_seconds or 0.0) if status is Status.PENDING else 0.0, short_error(error), counts)


def outcome_named(verdict: Verdict) -> tuple[OutcomeName, float | None]:
    """Return a verdict as the name of an outcome, with its delay, for those who apply the type's policy themselves."""
    if verdict.by_policy:
        return "retry", None
    if verdict.status is not Status.PENDING:
        return _LAST[verdict.status], None
    if verdict == GIVEN_BACK:
        return "given_back", None
    return "retry" if verdict.is_spent else "not_done", verdict.delay_seconds


def _told(error: BaseException) -> str:
    return short_error(told(error))
