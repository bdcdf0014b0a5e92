"""Events of tasks: enqueued, attempted, settled, rescued, changed by a person."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from asyncflow.events.event import Event


@dataclass(frozen=True, slots=True)
class TaskEnqueued(Event):
    """A task row was added to the caller's transaction, which may still roll back."""

    task_id: UUID
    task_type: str
    key: str | None


@dataclass(frozen=True, slots=True)
class AttemptFailed(Event):
    """A handler raised or took too long; the next attempt is due in ``delay_seconds``, None if there is none."""

    task_id: UUID
    task_type: str
    key: str | None
    attempt: int
    attempts: int
    delay_seconds: float | None
    error: BaseException


@dataclass(frozen=True, slots=True)
class HandlerFailedLate(Event):
    """A transactional handler raised after the commit that settled its task: the task is done, the rest is not."""

    task_id: UUID
    task_type: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class TaskRetried(Event):
    """A task goes back to PENDING and is due again in ``delay_seconds``."""

    task_id: UUID
    task_type: str
    retry_count: int
    delay_seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class TaskFailed(Event):
    """A task became a dead letter: it was rejected, or its retries are spent; ``retry_count`` attempts have failed."""

    task_id: UUID
    task_type: str
    retry_count: int
    error: str


@dataclass(frozen=True, slots=True)
class TasksSettled(Event):
    """Outcomes were written and committed; ``of_types`` tells by task type how many have succeeded."""

    destination: str
    succeeded: int
    retried: int
    failed: int
    seconds: float
    cancelled: int = 0
    of_types: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class SettleFenced(Event):
    """Settles changed nothing, for another instance owns the shards now or somebody settled the rows."""

    destination: str
    tasks: int


@dataclass(frozen=True, slots=True)
class RowsLocked(Event):
    """Somebody else holds locks on the rows of ``tasks``; these wait and are tried again, and nothing else waits."""

    destination: str
    tasks: int


@dataclass(frozen=True, slots=True)
class ClaimsRanOut(Event):
    """The monitor found tasks whose worker died or was cut off; all but those of AttemptsRefunded have spent one."""

    task_type: str
    given_back: int
    failed: int


@dataclass(frozen=True, slots=True)
class AttemptsRefunded(Event):
    """Of ``tasks`` that the monitor gave back nobody had heard that they had begun: their attempts are not spent."""

    task_type: str
    tasks: int


@dataclass(frozen=True, slots=True)
class TasksChanged(Event):
    """Somebody, ``actor``, changed tasks on purpose; the ``action`` is ``replay``, ``cancel`` or ``discard``."""

    action: str
    actor: str
    tasks: int
