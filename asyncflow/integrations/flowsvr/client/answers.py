"""What a task service answers, in objects of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from asyncflow.scheduler.worker.verdict import OutcomeName
from asyncflow.text import shown

NO_RESULT: Any = object()


class Created(NamedTuple):
    """Tell the id of a task, and whether it is new: not if its idempotency key had been used before."""

    id: UUID
    created: bool


class HeldTask(NamedTuple):
    """Hold a task that the service gave to this worker alone, under a token."""

    id: UUID
    task_type: str
    key: str | None
    arguments: Mapping[str, Any]
    headers: Mapping[str, str]
    attempt: int  # 1 for the first
    max_retries: int
    stage: str | None
    context: Any
    token: UUID
    is_followed: bool = False  # by a task that the service enqueues when this one is done
    wants_result: bool = False  # for the task that follows

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> HeldTask:
        """Read one of the tasks of an answer; raises KeyError, ValueError, TypeError or AttributeError for another."""
        return cls(
            UUID(answer["id"]),
            _typed(answer, "task_type", str),
            answer.get("key"),
            _typed(answer, "arguments", Mapping) if answer.get("arguments") else {},
            _typed(answer, "headers", Mapping) if answer.get("headers") else {},
            _typed(answer, "attempt", int),
            _typed(answer, "max_retries", int),
            answer.get("stage"),
            answer.get("context"),
            UUID(answer["token"]),
            bool(answer.get("is_followed")),
            bool(answer.get("wants_result")),
        )


def _typed(answer: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    value = answer[name]
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {shown(value)}")
    return value


class Held(NamedTuple):
    """Hold the tasks that the service gave, for how long, and the task types that it does not know."""

    tasks: Sequence[HeldTask]
    lease_seconds: float
    unknown: Sequence[str]


class Outcome(NamedTuple):
    """Tell the service what became of a task; ``delay_seconds`` None leaves the delay to its type's policy."""

    id: UUID
    token: UUID
    outcome: OutcomeName
    delay_seconds: float | None = None
    error: str | None = None
    result: Any = NO_RESULT  # what the handler returned, JSON-able; kept with the task

    def as_json(self) -> dict[str, Any]:
        """Return the fields that are given."""
        given = {name: value for name, value in self._asdict().items() if value is not None and name != "result"}
        return given if self.result is NO_RESULT else {**given, "result": self.result}


class Settled(NamedTuple):
    """Tell whether an outcome was written, and the status that the task has now; None if it is gone.

    One that is ``locked``, as somebody else holds the lock of its row, was not, and is to be told again.
    """

    id: UUID
    settled: bool
    status: str | None
    locked: bool = False


class Renewed(NamedTuple):
    """Name the claims that do not last longer: those that are lost, and those whose rows somebody else has locked."""

    lost: set[UUID]
    locked: set[UUID]


class Page(NamedTuple):
    """Hold some tasks of a list, the cursor by which it goes on, None at its end, and which databases are left out."""

    tasks: Sequence[Mapping[str, Any]]
    next: str | None
    away: Sequence[str] = ()  # that did not answer a service of several


def settled_of(result: Mapping[str, Any], outcome: Outcome, *, is_repeated: bool) -> Settled:
    """Return what the service says of an outcome; one that was told again stands if its task is as that leaves it."""
    status = result.get("status")
    stands = is_repeated and status in _LEAVES.get(outcome.outcome, ("PENDING",))
    return Settled(UUID(result["id"]), result["settled"] or stands, status, result.get("locked") is True)


# A row that was done may be deleted.
_LEAVES: Mapping[str, tuple[str | None, ...]] = {
    "success": ("SUCCESS", None),
    "failed": ("FAILED",),
    "cancelled": ("CANCELLED",),
    "retry": ("PENDING", "FAILED"),
}
